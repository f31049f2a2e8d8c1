"""What a nest fetches from beyond a cache: against a cache that is simulated, line by line, and by hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import program_of

from convir.ir import TensorType, ops
from convir.loops import Nest, Schedule
from convir.loops.expr import loads
from convir.loops.nest import simplified
from convir.loops.traffic import LINE, Traffic


def nest_of(op: ops.Op, *shapes: tuple[int, ...]) -> Nest:
    return simplified(program_of(op, [TensorType(shape) for shape in shapes]).nests[0])


def lines(nest: Nest, schedule: Schedule) -> Iterator[tuple[str, int]]:
    """The lines that reductions read, in the order in which the schedule reads them."""
    steps = {axis: schedule.blocks.get(axis, 1) * (schedule.width if axis == schedule.vector else 1)
             for axis in schedule.order}  # fmt: skip
    reads = [load for part in nest.parts() if hasattr(part, "body") for load in loads(part.body)]
    for start in product(*(range(0, nest.extent(axis), steps[axis]) for axis in schedule.order)):
        block = [range(first, min(first + steps[axis], nest.extent(axis)))
                 for axis, first in zip(schedule.order, start, strict=True)]  # fmt: skip
        for term in product(*(range(axis.extent) for axis in nest.reduced)):
            for point in product(*block):
                at = dict(zip((*schedule.order, *(axis.name for axis in nest.reduced)), (*point, *term), strict=True))
                for load in reads:
                    yield load.operand, load.offset.at(at).without(at).const * 4 // LINE


def simulated(nest: Nest, schedule: Schedule, cache: int) -> int:
    """Bytes that a fully associative cache fetches that forgets what was not used for longest."""
    held: OrderedDict[tuple[str, int], None] = OrderedDict()
    fetched = 0
    for line in lines(nest, schedule):
        if line in held:
            held.move_to_end(line)
            continue
        fetched += LINE
        held[line] = None
        if len(held) > cache // LINE:
            held.popitem(last=False)
    return fetched


MATMUL = nest_of(ops.MatMul(), (12, 32), (32, 64))
CONV = nest_of(ops.Conv2dDirect(), (4, 8, 8, 8), (6, 4, 3, 3))
SCHEDULES = [
    (MATMUL, Schedule(("i", "j"), "j", 8, (("i", 4), ("j", 2)))),
    (MATMUL, Schedule(("j", "i"), "j", 8, (("i", 4), ("j", 2)))),
    (MATMUL, Schedule(("i", "j"), "j", 8, (("i", 2),))),
    (CONV, Schedule(("i", "o", "n"), "n", 8, (("o", 3), ("n", 2)))),
    (CONV, Schedule(("o", "i", "n"), "n", 8, (("o", 2),))),
]


@pytest.mark.slow
@pytest.mark.parametrize("cache", [1024, 2048, 4096, 8192, 32768])
@pytest.mark.parametrize(("nest", "schedule"), SCHEDULES)
def test_about_what_a_cache_fetches(nest, schedule, cache):
    """Runs count a line more, so at most twice as much; what fits as a whole counts nothing."""
    (found,) = Traffic(nest, 4).beyond(schedule, (cache,))
    exact = simulated(nest, schedule, cache)
    if found == 0:
        assert exact <= cache, exact
    else:
        assert 0.5 * exact <= found <= 3.5 * exact


@settings(max_examples=60)
@given(sizes=st.tuples(*[st.integers(1, 40)] * 3), small=st.integers(0, 5000), large=st.integers(0, 5000))
def test_a_larger_cache_fetches_no_more(sizes, small, large):
    rows, inner, columns = sizes
    nest = nest_of(ops.MatMul(), (rows, inner), (inner, columns))
    schedule = Schedule(tuple(axis.name for axis in nest.axes))
    less, more = Traffic(nest, 4).beyond(schedule, (max(small, large), min(small, large)))
    assert less <= more


def test_a_matrix_product_by_hand():
    """Blocks of 4 rows, which are one run, and of 16 columns, runs of a line; each run a line more."""
    schedule = SCHEDULES[0][1]
    left, right = 4 * 32 * 4 + LINE, 32 * (LINE + LINE)
    # Nothing stays from one block to the next; then the left rows do, and what they share a cache with; then all.
    nothing, rows, everything = Traffic(MATMUL, 4).beyond(schedule, (0, 2**12 - 2**9, 2**20))
    assert nothing == 3 * 4 * (left + right)
    assert rows == pytest.approx(3 * (left + 4 * right), rel=1e-3)
    assert everything == 0


def test_runs_that_begin_anywhere_lie_in_more_lines():
    """Rows of 196 numbers: in steps of 16 bytes a run of 64 lies in 1.75 lines on average."""
    aligned, apart = (nest_of(ops.MatMul(), (6, 8), (8, columns)) for columns in (208, 196))
    schedule = Schedule(("i", "j"), "j", 8, (("i", 6), ("j", 2)))
    found = [Traffic(nest, 4).beyond(schedule, (0,))[0] for nest in (aligned, apart)]
    left = 6 * 8 * 4 + LINE
    assert found == [13 * (left + 8 * (lines_ + 1) * LINE) for lines_ in (1, 1.75)]
