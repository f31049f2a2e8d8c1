"""Choosing schedules: a small model of the processor's core, and the fewest cycles by it.

The core multiplies and adds two vectors a cycle and loads two; a sum in a register can take its next
term four cycles later. So a good block has enough sums to hide that, few enough to fit the
registers, and shares its loads between them: on a machine with 16 registers of 8 lanes, 6 filters
by 16 pixels (the shape of the BLIS micro-kernel for such machines; Van Zee and van de Geijn, *BLIS*,
ACM TOMS 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from math import ceil, prod

from convir.loops.affine import Affine
from convir.loops.expr import Apply, Expr, Index, Load, Reduce, loads, walk
from convir.loops.nest import Nest
from convir.loops.schedule import Processor, Schedule

#: Operations and loads that the core starts in a cycle, and cycles until a sum can be added to again.
PER_CYCLE, LATENCY = 2, 4
#: Cycles for a scalar call of the mathematics library (exp and the like), a horizontal sum, and a loop's turn.
CALL, ACROSS, TURN = 20, 8, 1
#: Cycles for a register too many: stored and loaded again.
SPILL = 2
#: Vectors along one axis that are computed together, at most.
MOST_VECTORS = 4
#: Statements in the body of the innermost loop, at most.
STATEMENTS = 64
#: Reduced axes up to this long together are written out.
UNROLLED = 9

_CALLS = ("exp", "log", "tanh")

Blocks = Mapping[str, int]


def choose_schedule(nest: Nest, processor: Processor, itemsize: int, floats: frozenset[str]) -> Schedule:
    """The schedule that the model likes best.

    Args:
        nest: simplified loops.
        processor: what they run on.
        itemsize: bytes of one number.
        floats: names of the operands that hold floating-point numbers.
    """
    candidates = list(_candidates(nest, processor, itemsize, floats))
    return min(candidates, key=lambda schedule: _cycles(nest, schedule, processor))


def _candidates(nest: Nest, processor: Processor, itemsize: int, floats: frozenset[str]) -> Iterator[Schedule]:
    yield _schedule(nest, "", 1, {})
    names = [axis.name for axis in nest.axes]
    lanes = processor.vector_bytes // itemsize
    vectors = [*(name for name in names if _across_points(nest, name, floats))]
    vectors += [axis.name for axis in nest.reduced if _across_reduction(nest, axis.name, floats)]
    for vector in vectors:
        width = _width(lanes, nest.extent(vector))
        if width:
            for blocks in _blocks(nest, vector, width, processor):
                yield _schedule(nest, vector, width, blocks)


def _width(lanes: int, extent: int) -> int:
    """The widest vector that fits into the axis; 0 where none does."""
    while lanes > extent:
        lanes //= 2
    return lanes if lanes >= 2 else 0


def _across_points(nest: Nest, axis: str, floats: frozenset[str]) -> bool:
    """Whether neighbours along an axis can share a vector: contiguous stores, contiguous or equal loads."""
    if any(store.offset.coefficient(axis) != 1 or store.operand not in floats for store in nest.stores):
        return False
    return all(_regular(part, axis, floats) for part in nest.parts())


def _across_reduction(nest: Nest, axis: str, floats: frozenset[str]) -> bool:
    """Whether a reduction can run along an axis in vectors."""
    reductions = [part for part in nest.parts() if isinstance(part, Reduce)]
    if not all(axis in part.axes for part in reductions):
        return False
    inside = [part for reduction in reductions for part in walk(reduction.body)]
    contiguous = any(isinstance(part, Load) and part.offset.coefficient(axis) for part in inside)
    return contiguous and all(_regular(part, axis, floats) for part in inside)


def _regular(part: Expr, axis: str, floats: frozenset[str]) -> bool:
    if not isinstance(part, Load | Index):
        return True
    step = part.offset.coefficient(axis)
    if isinstance(part, Index) or part.operand not in floats:
        return step == 0
    return step in (0, 1)


def _blocks(nest: Nest, vector: str, width: int, processor: Processor) -> Iterator[Blocks]:
    """Blocks of one or two axes; without a reduction there is nothing to share, and none is needed."""
    if not any(isinstance(part, Reduce) for part in nest.parts()):
        yield from ({vector: count} for count in (1, 2, 4) if count * width <= nest.extent(vector))
        return
    most = processor.vector_registers - 2
    limits = {axis.name: min(axis.extent, most) for axis in nest.axes}
    if vector in limits:
        limits[vector] = min(nest.extent(vector) // width, MOST_VECTORS)
    for names in combinations(limits, min(2, len(limits))):
        for counts in product(*(range(1, limits[name] + 1) for name in names)):
            if prod(counts) <= most:
                yield {**dict.fromkeys(limits, 1), **dict(zip(names, counts, strict=True))}


def _schedule(nest: Nest, vector: str, width: int, blocks: Blocks) -> Schedule:
    names = [axis.name for axis in nest.axes]
    last = sorted(
        (name for name in names if blocks.get(name, 1) > 1 and name != vector), key=lambda name: -blocks[name]
    )
    order = [name for name in names if name not in last and (name != vector or name not in names)]
    order = [name for name in order if name != vector] + last + [name for name in names if name == vector]
    block = tuple((name, count) for name, count in blocks.items() if count > 1)
    return Schedule(tuple(order), vector, width, block, _unrolled(nest, vector, prod(blocks.values())))


def _unrolled(nest: Nest, vector: str, points: int) -> tuple[str, ...]:
    """The innermost reduced axes that may be written out."""
    chosen: list[str] = []
    taps = 1
    for axis in reversed(nest.reduced):
        taps *= axis.extent
        if axis.name == vector or taps > UNROLLED or taps * points > STATEMENTS:
            break
        chosen.append(axis.name)
    return tuple(reversed(chosen))


def _cycles(nest: Nest, schedule: Schedule, processor: Processor) -> float:
    """Estimated cycles of the whole nest."""
    total = 0.0
    for blocks, turns in _turns(nest, schedule):
        total += turns * (TURN + _block_cycles(nest, schedule, blocks, processor))
    return total


def _turns(nest: Nest, schedule: Schedule) -> Iterator[tuple[Blocks, int]]:
    """Every size of block with how often it is computed."""
    spans = []
    for axis in nest.axes:
        count = schedule.blocks.get(axis.name, 1)
        if axis.name == schedule.vector:
            spans.append([(axis.name, count, ceil(axis.extent / (count * schedule.width)))])
            continue
        whole, rest = divmod(axis.extent, count)
        spans.append([(axis.name, count, whole), *([(axis.name, rest, 1)] if rest else [])])
    for choice in product(*spans):
        yield {name: count for name, count, _ in choice}, prod(turns for _, _, turns in choice)


def _block_cycles(nest: Nest, schedule: Schedule, blocks: Blocks, processor: Processor) -> float:
    points = prod(blocks.values())
    cycles = 0.0
    across = schedule.vector not in blocks and bool(schedule.vector)
    for reduction in {part for part in nest.parts() if isinstance(part, Reduce)}:
        turns = prod(
            ceil(nest.extent(axis) / (schedule.width if axis == schedule.vector else 1)) for axis in reduction.axes
        )
        cycles += turns * _step_cycles(reduction, schedule, blocks, processor)
        cycles += points * ACROSS if across else 0
    outside = [store.value for store in nest.stores]
    lanes = 1 if across else schedule.width
    work = sum(_operations(value, lanes) for value in outside) + len(outside)
    return cycles + points * (work + sum(1 for value in outside for _ in _outer_loads(value))) / PER_CYCLE


def _step_cycles(reduction: Reduce, schedule: Schedule, blocks: Blocks, processor: Processor) -> float:
    """Cycles to add one term to every sum of a block."""
    points = prod(blocks.values())
    operations = points * max(1, _operations(reduction.body, schedule.width))
    read = list(loads(reduction.body))
    loaded = sum(_distinct(load.offset, blocks) for load in read)
    # Points are written in the order of the loops: what varies fastest is needed again and again.
    inner = next((axis for axis in reversed(schedule.order) if blocks[axis] > 1), "")
    kept = sum(_distinct(load.offset, blocks) for load in read if load.offset.coefficient(inner))
    spilled = max(0, points + kept + 1 - processor.vector_registers)
    return max(operations / PER_CYCLE, loaded / PER_CYCLE, LATENCY) + SPILL * spilled


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
