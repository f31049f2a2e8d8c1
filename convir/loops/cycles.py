"""A small model of a processor's core: cycles of a nest under a schedule.

The core multiplies and adds two vectors a cycle and loads two; a sum in a register can take its next
term four cycles later. So a good block has enough sums to hide that, few enough to fit the
registers, and shares its loads between them: on a machine with 16 registers of 8 lanes, 6 filters
by 16 pixels (the shape of the BLIS micro-kernel for such machines; Van Zee and van de Geijn, *BLIS*,
ACM TOMS 2015). Meanwhile what does not stay in a cache is fetched from beyond it, see :mod:`convir.loops.traffic`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import ceil, prod

from convir.loops.affine import Affine
from convir.loops.expr import Apply, Expr, Load, Reduce, loads
from convir.loops.nest import Nest
from convir.loops.schedule import Processor, Schedule
from convir.loops.traffic import Traffic

#: Operations and loads that the core starts in a cycle, and cycles until a sum can be added to again.
PER_CYCLE, LATENCY = 2, 4
#: Cycles for a scalar call of the mathematics library (exp and the like), a horizontal sum, and a loop's turn.
CALL, ACROSS, TURN = 20, 8, 1
#: Cycles for a register too many: a sum is stored and loaded again before it can be added to.
SPILL = 8
#: Bytes that the second cache, the third and the memory deliver in a cycle.
SECOND_CACHE_BYTES, THIRD_CACHE_BYTES, MEMORY_BYTES = 32, 20, 7
#: Computing and fetching go on side by side, but where they take equally long, each waits for the other now and then:
#: they are added up as a norm of this power, which is the longer one where one is much longer.
OVERLAP = 4

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
        self.traffic = Traffic(nest, itemsize)

    def cycles(self, schedule: Schedule) -> float:
        """Cycles of the whole nest."""
        core = sum(turns * (TURN + self._block(schedule, blocks)) for blocks, turns in self._turns(schedule))
        return float(sum(cycles**OVERLAP for cycles in (core, *self._fetching(schedule))) ** (1 / OVERLAP))

    def fetched(self, schedule: Schedule) -> float:
        """Bytes that come from beyond the first cache."""
        return self.traffic.beyond(schedule, (self.processor.l1_bytes,))[0]

    def _fetching(self, schedule: Schedule) -> list[float]:
        """Cycles until everything has come, from each cache and from memory."""
        own = self.processor
        fetched = self.traffic.beyond(schedule, (own.l1_bytes, own.l2_bytes, own.l3_bytes))
        rates = (SECOND_CACHE_BYTES, THIRD_CACHE_BYTES, MEMORY_BYTES)
        return [number / rate for number, rate in zip(fetched, rates, strict=True)]

    def _turns(self, schedule: Schedule) -> Iterator[tuple[Blocks, int]]:
        """Every size of block with how often it is computed."""
        spans = []
        for axis in self.nest.axes:
            count = schedule.blocks.get(axis.name, 1)
            whole, rest = divmod(ceil(axis.extent / self._lanes(schedule, axis.name)), count)
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
        carried = sum(self._carried(load.offset, reduction, schedule, blocks) for load in read)
        spilled = max(0, points + kept + carried + 1 - self.processor.vector_registers)
        return max(operations / PER_CYCLE, loaded / PER_CYCLE, LATENCY) + SPILL * spilled

    def _carried(self, offset: Affine, reduction: Reduce, schedule: Schedule, blocks: Blocks) -> int:
        """Vectors of a reduction along memory that the next turn reads again: the compiler keeps them in registers."""
        if schedule.vector not in reduction.axes:
            return 0
        step = schedule.width * offset.coefficient(schedule.vector)
        places = {0}
        for axis, count in blocks.items():
            places = {place + offset.coefficient(axis) * point for place in places for point in range(count)}
        return sum(1 for place in places if step and place - step in places)

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
