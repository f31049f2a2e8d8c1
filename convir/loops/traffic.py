"""How many bytes a nest fetches from beyond a cache, under a schedule.

Loops are looked at from the innermost to the outermost. What one turn of a loop reads either stays in the cache until
the next turn, and then only what is new has to be fetched, or every turn fetches all of its own again (the reuse
distances of Mattson, Gecsei, Slutz and Traiger, *Evaluation techniques for storage hierarchies*, IBM Systems Journal
1970, for whole loops).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from math import ceil, gcd
from typing import NamedTuple

from convir.loops.affine import Affine
from convir.loops.expr import Load, Reduce, loads
from convir.loops.nest import Nest
from convir.loops.schedule import Schedule

#: Bytes that come from memory together.
LINE = 64


class _Touched(NamedTuple):
    """Bytes of lines that some loops read, and what fetching them costs.

    Runs of memory are read faster than lines by themselves, since what comes next is fetched before it is asked for: a
    run costs a line more than it has.
    """

    held: float
    fetched: float


class Traffic:
    """What one nest fetches.

    Args:
        nest: simplified loops.
        itemsize: bytes of one number.
    """

    def __init__(self, nest: Nest, itemsize: int) -> None:
        self.nest, self.itemsize = nest, itemsize
        self.extents = {axis.name: axis.extent for axis in (*nest.axes, *nest.reduced)}
        # Accesses that differ by a constant go through the same memory; loops around the nest stand still.
        own = [(name, offset.without(set(offset.axes) - set(self.extents))) for name, offset in _accesses(nest)]
        self.offsets = tuple({(name, offset.terms): offset for name, offset in own}.values())
        self._touched = lru_cache(maxsize=None)(self._lines)

    def beyond(self, schedule: Schedule, caches: tuple[int, ...]) -> list[float]:
        """Bytes that come from beyond each cache, and a line more for each run; none where it holds everything."""
        levels = list(self._levels(schedule))
        return [self._fetched(levels, cache) for cache in caches]

    def _levels(self, schedule: Schedule) -> Iterator[tuple[int, list[_Touched]]]:
        """From a block to the whole nest: turns of the loop around what came before, and what is touched in it."""
        points = {axis: count * (schedule.width if axis == schedule.vector else 1) for axis, count in schedule.block}
        if schedule.vector:
            points.setdefault(schedule.vector, schedule.width)
        counts = {axis.name: axis.extent for axis in self.nest.reduced}
        counts |= {axis: points.get(axis, 1) for axis in schedule.order}
        yield 1, self._all(counts)
        for axis in reversed(schedule.order):
            turns = ceil(self.extents[axis] / counts[axis])
            counts[axis] = self.extents[axis]
            yield turns, self._all(counts)

    @staticmethod
    def _fetched(levels: list[tuple[int, list[_Touched]]], cache: int) -> float:
        if _held(levels[-1][1]) <= cache:
            return 0.0
        fetched = [own.fetched for own in levels[0][1]]
        for (_, inside), (turns, touched) in pairwise(levels):
            # As far as the last turn's lines are still there, only those are fetched that it did not touch.
            kept = _kept(_held(inside), cache)
            growth = [all_.held / own.held for own, all_ in zip(inside, touched, strict=True)]
            factors = [kept * new + (1 - kept) * turns for new in growth]
            fetched = [factor * before for factor, before in zip(factors, fetched, strict=True)]
        return sum(fetched)

    def _all(self, counts: Mapping[str, int]) -> list[_Touched]:
        return [self._touched(offset, tuple(counts.get(axis, 1) for axis in offset.axes)) for offset in self.offsets]

    def _lines(self, offset: Affine, counts: tuple[int, ...]) -> _Touched:
        """The lines in which the elements lie that a load reads, with so many steps along each axis."""
        steps = sorted(
            (abs(number) * self.itemsize, count, count < self.extents[axis])
            for (axis, number), count in zip(offset.terms, counts, strict=True)
        )
        run, runs, span, grain = self.itemsize, 1.0, 0, LINE
        for step, count, is_part in steps:
            if not span and step < run + LINE:
                run += step * (count - 1)
                grain = gcd(grain, step * count) if is_part else grain
                continue
            grain = gcd(grain, step)
            reach = span or run
            # Where steps are shorter than what they step over, they meet what was read before.
            runs += runs * (count - 1) * min(1.0, step / reach)
            span = reach + step * (count - 1)
        # A run that may begin anywhere, in steps of a grain, lies in so many lines on average.
        held = runs * (run + LINE - grain)
        return _Touched(held, held + runs * LINE)


def _kept(held: float, cache: int) -> float:
    """Which part of lines stays in a cache: its sets do not fill evenly, so some go before it is full and some stay."""
    return min(1.0, max(0.0, 2.5 - 2 * held / cache)) if cache else 0.0


def _held(touched: Iterable[_Touched]) -> float:
    return sum(own.held for own in touched)


def _accesses(nest: Nest) -> list[tuple[str, Affine]]:
    """What the reductions of a nest read; of one that has none, everything that it reads and writes."""
    reductions = [part for part in nest.parts() if isinstance(part, Reduce)]
    if reductions:
        return [(load.operand, load.offset) for part in reductions for load in loads(part)]
    read = [(part.operand, part.offset) for part in nest.parts() if isinstance(part, Load)]
    return [*read, *((store.operand, store.offset) for store in nest.stores)]
