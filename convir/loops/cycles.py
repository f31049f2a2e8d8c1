"""A small model of a processor's core: cycles of a nest under a schedule.

The core multiplies and adds two vectors a cycle and loads two; a sum in a register can take its next
term four cycles later. So a good block has enough sums to hide that, few enough to fit the
registers, and shares its loads between them: on a machine with 16 registers of 8 lanes, 6 filters
by 16 pixels (the shape of the BLIS micro-kernel for such machines; Van Zee and van de Geijn, *BLIS*,
ACM TOMS 2015). What does not fit the first cache comes from the second, 32 bytes a cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import ceil, prod

from convir.loops.affine import Affine
from convir.loops.expr import Apply, Expr, Load, Reduce, loads
from convir.loops.nest import Nest
from convir.loops.schedule import Processor, Schedule

#: Operations and loads that the core starts in a cycle, and cycles until a sum can be added to again.
PER_CYCLE, LATENCY = 2, 4
#: Cycles for a scalar call of the mathematics library (exp and the like), a horizontal sum, and a loop's turn.
CALL, ACROSS, TURN = 20, 8, 1
#: Cycles for a register too many: stored and loaded again.
SPILL = 2
#: Bytes that the second cache delivers in a cycle, and of a cache line.
SECOND_CACHE_BYTES, LINE = 32, 64

_CALLS = ("exp", "log", "tanh")

#: Axis -> how many points (or vectors) of it are computed together.
Blocks = Mapping[str, int]


class CycleModel:
    """Estimates for one nest.

    Args:
        nest: simplified loops.
        processor: what they run on.
        itemsize: bytes of one number.
    """

    def __init__(self, nest: Nest, processor: Processor, itemsize: int) -> None:
        self.nest, self.processor, self.itemsize = nest, processor, itemsize
        self.reductions = {part for part in nest.parts() if isinstance(part, Reduce)}

    def cycles(self, schedule: Schedule) -> float:
        """Cycles of the whole nest."""
        return sum(turns * (TURN + self._block(schedule, blocks)) for blocks, turns in self._turns(schedule))

    def _turns(self, schedule: Schedule) -> Iterator[tuple[Blocks, int]]:
        """Every size of block with how often it is computed."""
        spans = []
        for axis in self.nest.axes:
            count = schedule.blocks.get(axis.name, 1)
            if axis.name == schedule.vector:
                spans.append([(axis.name, count, ceil(axis.extent / (count * schedule.width)))])
                continue
            whole, rest = divmod(axis.extent, count)
            spans.append([(axis.name, count, whole), *([(axis.name, rest, 1)] if rest else [])])
        for choice in product(*spans):
            yield {name: count for name, count, _ in choice}, prod(turns for _, _, turns in choice)

    def _block(self, schedule: Schedule, blocks: Blocks) -> float:
        """All stores of one block."""
        points = prod(blocks.values())
        across = bool(schedule.vector) and schedule.vector not in blocks
        cycles = 0.0
        for reduction in self.reductions:
            lengths = (self.nest.extent(axis) / self._lanes(schedule, axis) for axis in reduction.axes)
            cycles += prod(map(ceil, lengths)) * self._step(reduction, schedule, blocks)
            cycles += points * ACROSS if across else 0
        outside = [store.value for store in self.nest.stores]
        lanes = 1 if across else schedule.width
        work = sum(_operations(value, lanes) for value in outside) + len(outside)
        return cycles + points * (work + sum(1 for value in outside for _ in _outer_loads(value))) / PER_CYCLE

    def _step(self, reduction: Reduce, schedule: Schedule, blocks: Blocks) -> float:
        """Adding one term to every sum of a block."""
        points = prod(blocks.values())
        operations = points * max(1, _operations(reduction.body, schedule.width))
        read = list(loads(reduction.body))
        loaded = sum(_distinct(load.offset, blocks) for load in read)
        # Points are written in the order of the loops: what varies fastest is needed again and again.
        inner = next((axis for axis in reversed(schedule.order) if blocks[axis] > 1), "")
        kept = sum(_distinct(load.offset, blocks) for load in read if load.offset.coefficient(inner))
        spilled = max(0, points + kept + 1 - self.processor.vector_registers)
        fetched = self._fetched(reduction, schedule, blocks) / SECOND_CACHE_BYTES
        return max(operations / PER_CYCLE, loaded / PER_CYCLE, LATENCY, fetched) + SPILL * spilled

    def _fetched(self, reduction: Reduce, schedule: Schedule, blocks: Blocks) -> float:
        """Bytes a step that come from the second cache; none where all that a block reads fits the first."""
        bytes_a_step, footprint = 0.0, 0.0
        for load in loads(reduction.body):
            own = self._streams(load, reduction, schedule, blocks) * self._bytes(load, schedule, blocks)
            steps = (
                self.nest.extent(axis) / self._lanes(schedule, axis)
                for axis in reduction.axes
                if load.offset.coefficient(axis)
            )
            bytes_a_step += own
            footprint += own * prod(steps)
        return bytes_a_step if footprint > self.processor.l1_bytes else 0.0

    def _bytes(self, load: Load, schedule: Schedule, blocks: Blocks) -> int:
        """Bytes of one run of memory in a step: a number, a vector of a reduction, or lines of a block's vectors."""
        if not load.offset.coefficient(schedule.vector):
            return self.itemsize
        vector = schedule.width * self.itemsize
        if schedule.vector not in blocks:
            return vector
        return -(-vector * blocks[schedule.vector] // LINE) * LINE

    def _streams(self, load: Load, reduction: Reduce, schedule: Schedule, blocks: Blocks) -> int:
        """How many runs of memory a block reads; points that lie further along one run are none of their own."""
        return prod(
            count
            for axis, count in blocks.items()
            if axis != schedule.vector
            and load.offset.coefficient(axis)
            and not self._along(load, axis, count, reduction)
        )

    def _along(self, load: Load, axis: str, count: int, reduction: Reduce) -> bool:
        """Whether the reduction passes by where the block's other points along ``axis`` read."""
        reach = abs(load.offset.coefficient(axis)) * (count - 1)
        steps = ((abs(load.offset.coefficient(inner)), self.nest.extent(inner)) for inner in reduction.axes)
        return any(step and reach % step == 0 and reach < step * extent for step, extent in steps)

    @staticmethod
    def _lanes(schedule: Schedule, axis: str) -> int:
        return schedule.width if axis == schedule.vector else 1


def _distinct(offset: Affine, blocks: Blocks) -> int:
    """How many elements (or vectors) a load reads in a block."""
    return prod(count for axis, count in blocks.items() if offset.coefficient(axis))


def _operations(expr: Expr, lanes: int) -> float:
    """Instructions of an expression, without what is inside its reductions; a product that is added is one."""
    if isinstance(expr, Apply):
        own = CALL * lanes if expr.function in _CALLS else 1
        return own + sum(_operations(argument, lanes) for argument in expr.arguments)
    return 0


def _outer_loads(expr: Expr) -> Iterator[Load]:
    if isinstance(expr, Load):
        yield expr
    if isinstance(expr, Apply):
        for argument in expr.arguments:
            yield from _outer_loads(argument)
