"""Writing reductions: accumulators that stay in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product

from convir.loops.emit.scope import Point, Scope
from convir.loops.emit.writer import Writer
from convir.loops.expr import NEUTRAL, Apply, Reduce, loads
from convir.loops.schedule import Schedule

_ACROSS_LANES = {"add": "total", "maximum": "largest"}


class Reduction:
    """One reduction at all points of a block.

    Where the schedule's vector axis is one of the points', each lane has a sum of its own; where it
    is reduced over, the lanes are added up in the end, and what fills no vector is added one by one.
    """

    def __init__(self, reduce: Reduce, schedule: Schedule, extents: Mapping[str, int], scope: Scope) -> None:
        self.reduce, self.extents, self.vector = reduce, extents, schedule.vector
        self.out: Writer = scope.out
        self.floats = scope.floats
        self.across = schedule.vector in reduce.axes
        self.lanes = schedule.width if self.across else scope.lanes
        self.unrolled = tuple(axis for axis in reduce.axes if axis in schedule.unroll)
        self.looped = tuple(axis for axis in reduce.axes if axis not in schedule.unroll)

    def write(self, points: Sequence[Point]) -> dict[tuple[Reduce, Point], str]:
        """Write the reduction; returns the names of its values."""
        names = {point: self.out.fresh("a") for point in points}
        if self.looped:
            start = self._scope(self.lanes).number(NEUTRAL[self.reduce.function])
            for name in names.values():
                self.out.line(f"{name} = {start}")
        rest = self.extents[self.vector] % self.lanes if self.across else 0
        self._accumulate(names, self.lanes, {self.vector: (0, self.extents.get(self.vector, 0) - rest)})
        if self.across:
            for name in names.values():
                self.out.line(f"{name} = {_ACROSS_LANES[self.reduce.function]}{self.lanes}({name})")
        if rest:
            self._accumulate(names, 1, {self.vector: (self.extents[self.vector] - rest, self.extents[self.vector])})
        return {(self.reduce, point): name for point, name in names.items()}

    def _scope(self, lanes: int) -> Scope:
        return Scope(self.out, self.floats, lanes, self.vector, self.unrolled)

    def _accumulate(self, names: Mapping[Point, str], lanes: int, bounds: Mapping[str, tuple[int, int]]) -> None:
        """The loops, with one statement for each point and unrolled tap."""
        with ExitStack() as stack:
            for axis in self.looped:
                start, stop = bounds[axis] if self.across and axis in bounds else (0, self.extents[axis])
                step = lanes if self.across and axis == self.vector else 1
                stack.enter_context(self.out.loop(axis, start, stop, step))
            scope = self._scope(lanes)
            scope.address(load.offset for load in loads(self.reduce.body))
            taps = product(*(range(self.extents[axis]) for axis in self.unrolled))
            for number, tap in enumerate(taps):
                scope.forget()
                for point, name in names.items():
                    at = (*point, *zip(self.unrolled, tap, strict=True))
                    self.out.line(f"{name} = {self._added(scope, name, at, number == 0 and not self.looped)}")

    def _added(self, scope: Scope, name: str, point: Point, first: bool) -> str:
        function, body = self.reduce.function, self.reduce.body
        if not first and function == "add" and isinstance(body, Apply) and body.function == "mul":
            return f"fma({', '.join(scope.value(argument, point) for argument in body.arguments)}, {name})"
        value = scope.value(body, point)
        if first:
            return value
        return f"{name} + {value}" if function == "add" else f"{function}({name}, {value})"
