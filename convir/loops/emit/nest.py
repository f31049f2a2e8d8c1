"""Writing one nest: its loops, and the block of points that is computed together inside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from convir.ir import ConvirError
from convir.loops.affine import Affine
from convir.loops.emit.reduction import Reduction
from convir.loops.emit.scope import Point, Scope
from convir.loops.emit.writer import Writer
from convir.loops.expr import Apply, Expr, Index, Load, Reduce
from convir.loops.nest import Nest
from convir.loops.schedule import Schedule


def emit_nest(nest: Nest, schedule: Schedule, floats: frozenset[str], out: Writer) -> None:
    """Write ``nest`` as source.

    Args:
        nest: what to compute.
        schedule: how.
        floats: names of the operands that hold floating-point numbers; elements of others are converted.
        out: where it goes.

    Raises:
        ConvirError: the schedule does not fit the nest.
    """
    _require_fit(nest, schedule)
    _NestWriter(nest, schedule, floats, out).loops(schedule.order, {})


def _require_fit(nest: Nest, schedule: Schedule) -> None:
    """Raise ConvirError for a schedule that leaves out points, or reaches over the end of an axis."""
    axes, reduced = [axis.name for axis in nest.axes], [axis.name for axis in nest.reduced]
    loops = f"the nest has axes {axes} and reduced axes {reduced}"
    if sorted(schedule.order) != sorted(axes):
        raise ConvirError(f"the schedule orders {list(schedule.order)}, but {loops}")
    if schedule.width > 1 and schedule.vector not in (*axes, *reduced):
        raise ConvirError(f"the schedule has vectors along {schedule.vector!r}, but {loops}")
    if not set(schedule.unroll) <= set(reduced) - {schedule.vector}:
        raise ConvirError(f"the schedule unrolls {list(schedule.unroll)}, but {loops}, vectors {schedule.vector!r}")
    if not set(schedule.blocks) <= set(axes):
        raise ConvirError(f"the schedule has blocks {dict(schedule.block)}, but {loops}")
    for axis in {*schedule.blocks, schedule.vector} - {""}:
        lanes = schedule.width if axis == schedule.vector else 1
        points = schedule.blocks.get(axis, 1) * lanes
        if not 1 <= points <= nest.extent(axis):
            raise ConvirError(f"the schedule computes {points} points of axis {axis} together, of {nest.extent(axis)}")
        if nest.accumulates and nest.extent(axis) % lanes and axis in axes:
            raise ConvirError(
                f"the schedule computes points of axis {axis} twice, with vectors of {lanes} of {nest.extent(axis)}, "
                f"and the nest reads what it writes"
            )


@dataclass(frozen=True)
class _Span:
    """A part of an axis that one loop covers.

    Attributes:
        start: where it begins.
        stop: where it ends.
        count: how many points (or vectors) a turn covers.
        lanes: how many points a vector has.
        overlaps: the last turn begins early enough to end in time, and computes some points again.
    """

    start: int
    stop: int
    count: int
    lanes: int
    overlaps: bool = False

    @property
    def step(self) -> int:
        return self.count * self.lanes

    def moves(self, axis: str) -> list[tuple[str, int]]:
        """Where the points of a turn lie."""
        return [(axis, index * self.lanes) for index in range(self.count)]


class _NestWriter:
    def __init__(self, nest: Nest, schedule: Schedule, floats: frozenset[str], out: Writer) -> None:
        self.nest, self.schedule, self.floats, self.out = nest, schedule, floats, out
        self.extents = {axis.name: axis.extent for axis in (*nest.axes, *nest.reduced)}
        self.lanes = schedule.width if schedule.vector in schedule.order else 1
        self.names = out.names()
        self.reductions = list(dict.fromkeys(part for part in nest.parts() if isinstance(part, Reduce)))

    def loops(self, order: Sequence[str], spans: dict[str, _Span]) -> None:
        """The loops over the axes in ``order``, and the block inside them."""
        if not order:
            self._block(list(product(*(span.moves(axis) for axis, span in spans.items()))))
            return
        axis, *inner = order
        for span in self._spans(axis):
            variable = f"{axis}_" if span.overlaps else axis
            with self.out.loop(variable, span.start, span.stop, span.step):
                if span.overlaps:
                    self.out.line(f"{axis} = min({variable}, {span.stop - span.step})")
                self.loops(inner, {**spans, axis: span})

    def _spans(self, axis: str) -> list[_Span]:
        """The loops that cover an axis: full blocks, then a smaller one."""
        extent, count = self.extents[axis], self.schedule.blocks.get(axis, 1)
        lanes = self.schedule.width if axis == self.schedule.vector else 1
        rest = extent % (count * lanes)
        fewer = -(-rest // lanes)
        if not rest or fewer == count:
            return [_Span(0, extent, count, lanes, overlaps=bool(rest))]
        whole = [_Span(0, extent - rest, count, lanes)] if extent > rest else []
        # The last vectors begin early enough to end in time, and compute some points again.
        return [*whole, _Span(extent - fewer * lanes, extent, fewer, lanes)]

    def _block(self, points: list[Point]) -> None:
        """All stores of the points that are computed together."""
        self.out.reuse(self.names)
        scope = Scope(self.out, self.floats, self.lanes, self.schedule.vector)
        sums: dict[tuple[Reduce, Point], str] = {}
        for reduction in self.reductions:
            sums |= Reduction(reduction, self.schedule, self.extents, scope).write(points)
        scope.sums = sums
        scope.address(self._offsets())
        for point in points:
            for store in self.nest.stores:
                scope.store(store.operand, store.offset, scope.value(store.value, point), point)

    def _offsets(self) -> Iterator[Affine]:
        """Index expressions that stand outside reductions."""
        for store in self.nest.stores:
            yield store.offset
            yield from _outside(store.value)


def _outside(expr: Expr) -> Iterator[Affine]:
    if isinstance(expr, Load | Index):
        yield expr.offset
    if isinstance(expr, Apply):
        for argument in expr.arguments:
            yield from _outside(argument)
