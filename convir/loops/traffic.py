"""How many bytes a nest fetches from beyond a cache, under a schedule.

Loops are looked at from the innermost to the outermost. What one turn of a loop reads either stays in the cache until
the next turn, and then only what is new has to be fetched, or every turn fetches all of its own again (the reuse
distances of Mattson, Gecsei, Slutz and Traiger, *Evaluation techniques for storage hierarchies*, IBM Systems Journal
1970, for whole loops).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import ceil, gcd

from convir.loops.affine import Affine
from convir.loops.expr import Load, Reduce, loads
from convir.loops.nest import Nest
from convir.loops.schedule import Schedule

#: Bytes that come from memory together.
LINE = 64


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
        self._bytes = lru_cache(maxsize=None)(self._touched)

    def beyond(self, schedule: Schedule, caches: tuple[int, ...]) -> list[float]:
        """Bytes that come from beyond each of these caches; none where it holds all that is read."""
        levels = list(self._levels(schedule))
        return [self._fetched(levels, cache) for cache in caches]

    def _levels(self, schedule: Schedule) -> Iterator[tuple[int, list[float]]]:
        """From a block to the whole nest: turns of the loop around what was before, and what each load touches in it."""
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

    def _fetched(self, levels: list[tuple[int, list[float]]], cache: int) -> float:
        if sum(levels[-1][1]) <= cache:
            return 0.0
        fetched, inside = levels[0][1], sum(levels[0][1])
        for turns, touched in levels[1:]:
            fetched = touched if inside <= cache else [turns * own for own in fetched]
            inside = sum(touched)
        return sum(fetched)

    def _all(self, counts: Mapping[str, int]) -> list[float]:
        return [self._bytes(offset, tuple(counts.get(axis, 1) for axis in offset.axes)) for offset in self.offsets]

    def _touched(self, offset: Affine, counts: tuple[int, ...]) -> float:
        """Bytes of the lines that a load reads, with so many steps along each axis, and of one more for each run.

        Runs of memory are read faster than lines by themselves: what comes next is fetched before it is asked for.
        """
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
        return runs * (run + LINE - grain + LINE)


def _accesses(nest: Nest) -> list[tuple[str, Affine]]:
    """What the reductions of a nest read; of one that has none, everything that it reads and writes."""
    reductions = [part for part in nest.parts() if isinstance(part, Reduce)]
    if reductions:
        return [(load.operand, load.offset) for part in reductions for load in loads(part)]
    read = [(part.operand, part.offset) for part in nest.parts() if isinstance(part, Load)]
    return [*read, *((store.operand, store.offset) for store in nest.stores)]
