"""Where a value lies along an axis, and which values are written there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: From this range on an axis is logarithmic: below it, lengths of bars can still be compared by eye.
_WIDE = 30.0
#: What is so many times the next one below it is far from it,
_FAR = 12.0
#: and beside the point if at most this share of the values is.
_FEW = 1 / 3


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` at ``start`` to ``end`` of the drawing.

    Attributes:
        ticks: values to be written, ascending.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """The place of ``value``; what lies outside is put at the end of the axis."""
        clipped = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(clipped / self.low) / math.log(self.high / self.low)
        else:
            share = (clipped - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def together(values: Iterable[float]) -> list[float]:
    """The positive values, ascending, without a few at the top that are far from the others: times of naive loops.

    An axis that had room for them would press the others together.
    """
    known = sorted(_positive(values))
    least = math.ceil(len(known) * (1 - _FEW))
    far = (place for place in range(max(least, 1), len(known)) if known[place] > _FAR * known[place - 1])
    return known[: next(far, len(known))]


def wide(values: Iterable[float]) -> bool:
    """Whether positive values differ so much that only a logarithmic axis shows all of them."""
    known = _positive(values)
    return bool(known) and max(known) > _WIDE * min(known)


def linear(values: Iterable[float], start: float, end: float, *, base: int = 10) -> Axis:
    """From 0 to the largest value, with about four ticks: round numbers in ``base`` 10, or powers of 2."""
    high = max(_positive(values), default=1.0)
    step = _step(high / 4, base)
    ticks = tuple(step * index for index in range(math.floor(high / step * (1 + 1e-9)) + 1))
    return Axis(0.0, high, start, end, False, ticks)


def logarithmic(values: Iterable[float], start: float, end: float, *, base: int = 10, most: int = 6) -> Axis:
    """Over the positive values and a little more on both sides, with at most ``most`` ticks.

    Ticks are powers of ``base``; where there are few in range, also 2 and 5 times powers of 10.
    """
    known = _positive(values) or [1.0]
    margin = max((max(known) / min(known)) ** 0.04, 1.1)
    low, high = min(known) / margin, max(known) * margin
    return Axis(low, high, start, end, True, _log_ticks(low, high, base, most))


def _log_ticks(low: float, high: float, base: int, most: int) -> tuple[float, ...]:
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    factors = (1, 2, 5) if base == 10 else (1,)
    for chosen in (factors, (1,)):
        ticks = [factor * float(base) ** power for power in range(first, last + 1) for factor in chosen]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            return tuple(inside)
    # Every second power, or every third, ...
    return tuple(inside[:: math.ceil(len(inside) / most)])


def _step(size: float, base: int) -> float:
    """The round number at or above ``size``."""
    if base == 2:
        return float(2.0 ** math.ceil(math.log2(size)))
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * (1 - 1e-9))


def _positive(values: Iterable[float]) -> list[float]:
    return [value for value in values if value > 0 and math.isfinite(value)]
