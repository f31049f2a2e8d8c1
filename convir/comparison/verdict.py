"""The outcome in words: what is fastest, what its speed costs in memory and in digits, how those fared who choose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from convir.common.table import format_bytes, format_seconds
from convir.comparison.noise import about_equal
from convir.comparison.words import listed
from convir.passes.lower_conv.choice import CHOOSERS

if TYPE_CHECKING:
    from convir.comparison.report import Comparison, ComparisonRow

#: Lowerings that a sentence names all; of more, the next and the last.
_NAMED = 3

#: Digits that nobody would notice.
_DIGITS = 0.1


def verdict(comparison: Comparison) -> str:
    """The outcome of a comparison, in a few sentences.

    A lowering is faster than another where the quartiles of their times do not overlap. The digits between two errors
    are the decimal logarithm of their quotient.
    """
    if not comparison.has_convolution:
        return f"There is no convolution to lower, so nothing to choose: the net takes {time_of(comparison.best)}."
    best = _leader(comparison)
    if len(comparison.totals) == 1:
        return f"{best.lowering} takes {time_of(best)}; there is nothing to compare it with."
    return " ".join([*_sentences(best, comparison), *disturbances(comparison)])


#: Times of the prediction from which on it was not the work that took it.
_STALLED = 5.0


def disturbances(comparison: Comparison) -> Iterator[str]:
    """A warning where what ran takes so much longer than predicted that something else must have taken the time.

    Threads of BLAS that wait for each other on a busy machine lose whole slices of time; the medians of such runs agree
    with each other, and say nothing.
    """
    slow = [row.lowering for row in comparison.totals if row.runs > 1 and _stalls(row)]
    if not slow:
        return
    take = "take" if len(slow) > 1 else "takes"
    hint = "with threads=1 (--threads 1), or when nothing else runs" if comparison.threads > 1 else "on a quiet machine"
    yield (
        f"But {listed(slow)} {take} more than {_STALLED:.0f} times what is predicted, as if other programs had the "
        f"CPUs: compare again {hint}."
    )


def _stalls(row: ComparisonRow) -> bool:
    return row.predicted_seconds is not None and row.seconds > _STALLED * row.predicted_seconds + 1e-3


def _leader(comparison: Comparison) -> ComparisonRow:
    """The fastest; where that chooses one strategy for everything, and it is compared, too, that strategy."""
    best = comparison.best
    return next((row for row in comparison.totals if best.chosen == (row.lowering,)), best)


def _sentences(best: ComparisonRow, comparison: Comparison) -> Iterator[str]:
    yield _speed(best, _rivals(best, comparison))
    left = [row for row in comparison.rows if row.lowering == best.lowering and row.computed_by]
    if left:
        yield f"In it, {len(left)} of {len(comparison.convolutions)} convolutions are another strategy's."
    yield f"It {_memory(best, comparison.totals)}{_exactness(best, comparison.totals)}."
    for row in comparison.totals:
        if row.lowering in CHOOSERS and row is not best:
            yield _choice(row, best, comparison)


def _rivals(best: ComparisonRow, comparison: Comparison) -> Sequence[ComparisonRow]:
    """What the fastest is compared with: strategies that compute every layer themselves, if there are any."""
    others = sorted((row for row in comparison.totals if row is not best), key=lambda row: row.seconds)
    replaced = {row.lowering for row in comparison.rows if row.computed_by}
    strategies = [row for row in others if row.lowering not in CHOOSERS]
    return [row for row in strategies if row.lowering not in replaced] or strategies or others


def _speed(best: ComparisonRow, rivals: Sequence[ComparisonRow]) -> str:
    equal = [row.lowering for row in rivals if about_equal(row, best)]
    slower = [row for row in rivals if row.lowering not in equal]
    named = slower if len(slower) <= _NAMED else [slower[0], slower[-1]]
    text = f"{_name(best)} is the fastest, {time_of(best)}"
    text += f", about equal with {listed(equal)}" if equal else ""
    text += f": {', '.join(f'{_over(row, best)} as fast as {row.lowering}' for row in named)}" if named else ""
    return f"{text}."


def _name(row: ComparisonRow) -> str:
    """With the strategy that was chosen, where it is one."""
    return f"{row.lowering} ({row.chosen[0]})" if len(row.chosen) == 1 else row.lowering


def _memory(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    least = min(rows, key=lambda row: row.peak_bytes)
    if best.peak_bytes == least.peak_bytes:
        return f"takes the least memory, {format_bytes(best.peak_bytes)}"
    more = times(best.peak_bytes / max(least.peak_bytes, 1))
    return f"takes {format_bytes(best.peak_bytes)}, {more} the memory of {least.lowering}, which takes least"


def _exactness(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    known = [row for row in rows if row.error is not None]
    if best.error is None or len(known) < 2:
        return ""
    most = min(known, key=lambda row: row.error or 0.0)
    lost = _digits(best.error, most.error or 0.0)
    if lost < _DIGITS:
        return f", and is as exact as any (error {best.error:.1e})"
    return f", and is {lost:.1f} digits less exact than {most.lowering}, the most exact ({most.error:.1e})"


def _digits(error: float, least: float) -> float:
    """How many decimal digits ``error`` has lost; an error of 0 counts as the rounding of a double."""
    tiny = 2.0**-53
    return math.log10(max(error, tiny) / max(least, tiny))


def _choice(row: ComparisonRow, best: ComparisonRow, comparison: Comparison) -> str:
    """How far one who chooses is behind the fastest, and in which layer the most."""
    if row.chosen == (best.lowering,):
        return f"{row.lowering} chooses it."
    lost = "is about as fast" if about_equal(row, best) else f"takes {_over(row, best)} as long"
    return f"{_name(row)} {lost}{_worst(row.lowering, comparison)}."


def _over(row: ComparisonRow, other: ComparisonRow) -> str:
    """How many times the other's time a row takes, marked as :func:`about` does."""
    return f"{about(row)}{times(row.seconds / other.seconds)}" if other.seconds else ratio(row)


def _worst(chooser: str, comparison: Comparison) -> str:
    """The layer in which the choice costs the most time beyond noise; of a layer by itself there is nothing to add."""
    if comparison.layer:
        return ""
    fastest = {row.layer: row for row in comparison.rows if row.ratio == 1}
    mine = [row for row in comparison.rows if row.lowering == chooser and row.chosen and row.layer is not None]
    wrong = [row for row in mine if not _is_right(row, fastest[row.layer])]
    if not wrong:
        return ""
    worst = max(wrong, key=lambda row: row.seconds - fastest[row.layer].seconds)
    return f"; in {worst.layer} it takes {ratio(worst)} as long as {fastest[worst.layer].lowering}"


def _is_right(row: ComparisonRow, fastest: ComparisonRow) -> bool:
    """Whether a layer got the fastest strategy, or one about as fast."""
    computed = set(fastest.chosen) or {fastest.computed_by or fastest.lowering}
    return bool(computed & set(row.chosen)) or about_equal(row, fastest)


def times(ratio: float) -> str:
    """``1.25x``, ``512x``, ``12,345x``"""
    return f"{ratio:.2f}x" if ratio < 9.995 else f"{ratio:,.0f}x"


def ratio(row: ComparisonRow) -> str:
    """How many times the fastest's time a row takes, marked as :func:`about` does."""
    return f"{about(row)}{times(row.ratio)}"


def time_of(row: ComparisonRow) -> str:
    """The median, marked as :func:`about` does."""
    return f"{about(row)}{format_seconds(row.seconds)}"


def about(row: ComparisonRow) -> str:
    """``~`` before a time that was extrapolated."""
    return "" if row.extrapolated_from is None else "~"
