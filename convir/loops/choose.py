"""Choosing schedules: all blocks of one or two axes, and the fewest cycles by a model of the processor's core."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import prod

from convir.loops.cycles import Blocks, CycleModel
from convir.loops.expr import Expr, Index, Load, Reduce, walk
from convir.loops.nest import Nest
from convir.loops.schedule import Processor, Schedule
from convir.loops.traffic import LINE

#: Vectors along one axis that are computed together, at most.
MOST_VECTORS = 4
#: The first cache of most processors has at least so many ways of so many bytes.
WAYS, WAY_BYTES = 8, 4096
#: Statements in the body of the innermost loop, at most.
STATEMENTS = 64
#: Reduced axes up to this long together are written out.
UNROLLED = 9
#: Within a fiftieth of the fewest cycles is as few: the model is not better than that.
EQUAL = 1.02


def choose_schedule(nest: Nest, processor: Processor, itemsize: int, floats: frozenset[str]) -> Schedule:
    """The schedule that the model likes best.

    Args:
        nest: simplified loops.
        processor: what they run on.
        itemsize: bytes of one number.
        floats: names of the operands that hold floating-point numbers.
    """
    candidates = list(_candidates(nest, processor, itemsize, floats))
    model = CycleModel(nest, processor, itemsize)
    cycles = [model.cycles(each) for each in candidates]
    equal = [each for each, number in zip(candidates, cycles, strict=True) if number <= EQUAL * min(cycles)]
    # Among equals the one with more sums; then two vectors side by side, which fill a line; then what fetches less.
    return max(
        equal,
        key=lambda each: (prod(each.blocks.values()), -abs(each.blocks.get(each.vector, 1) - 2), -model.fetched(each)),
    )


def _candidates(nest: Nest, processor: Processor, itemsize: int, floats: frozenset[str]) -> Iterator[Schedule]:
    yield from _schedules(nest, "", 1, {})
    yield from _in_lines(nest, itemsize)
    names = [axis.name for axis in nest.axes]
    lanes = processor.vector_bytes // itemsize
    vectors = [*(name for name in names if _across_points(nest, name, floats))]
    vectors += [axis.name for axis in nest.reduced if _across_reduction(nest, axis.name, floats)]
    for vector in vectors:
        width = _width(lanes, nest.extent(vector), whole=nest.accumulates and vector in names)
        if width:
            for blocks in _blocks(nest, vector, width, processor):
                yield from _schedules(nest, vector, width, blocks)


def _in_lines(nest: Nest, itemsize: int) -> Iterator[Schedule]:
    """Copies to another order: a line is stored at a time, and lines that are read stay until they are used up.

    Lines that lie a multiple of a way's size apart share a set, which has room for as many as there are ways.
    """
    if nest.reduced or len(nest.stores) != 1:
        return
    for axis in nest.axes:
        steps = [offset.coefficient(axis.name) * itemsize for offset in nest.offsets()]
        count = LINE // itemsize
        if any(step and step % WAY_BYTES == 0 for step in steps):
            count = min(count, WAYS)
        if nest.stores[0].offset.coefficient(axis.name) == 1 and axis.extent >= count:
            yield list(_schedules(nest, "", 1, {axis.name: count}))[-1]


def _width(lanes: int, extent: int, whole: bool) -> int:
    """The widest vector that fits into the axis, ``whole``: again and again up to its end; 0 where none does."""
    while lanes > extent or (whole and extent % lanes):
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


def _schedules(nest: Nest, vector: str, width: int, blocks: Blocks) -> Iterator[Schedule]:
    """The blocked axes innermost, or those that are not; the vector axis always is."""
    names = [axis.name for axis in nest.axes]
    apart = sorted(
        (name for name in names if blocks.get(name, 1) > 1 and name != vector), key=lambda name: -blocks[name]
    )
    others = [name for name in names if name not in apart and name != vector]
    last = [name for name in names if name == vector]
    block = tuple((name, count) for name, count in blocks.items() if count > 1)
    unrolled = _unrolled(nest, vector, prod(blocks.values()))
    for order in dict.fromkeys(((*others, *apart, *last), (*apart, *others, *last))):
        yield Schedule(order, vector, width, block, unrolled)


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
