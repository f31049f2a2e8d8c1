"""Joined nests under every schedule that is weighed, and under any that fits: the source computes the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.drawn_regions import with_drawn_region
from support.generated import PROCESSORS, operands_of, run_on, run_plain
from support.graphs import interpret, random_array
from support.loop_graphs import arrays_for, loop_graphs
from support.regions import assert_near, joined, region
from support.schedules import schedules

from convir.ir.ops import (
    Add,
    AvgPool2dTaps,
    Conv2dDirect,
    Conv2dDirectGradWeight,
    Div,
    Exp,
    MatMul,
    Max,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    Mul,
    Region,
    Relu,
    ReluGrad,
    Sub,
    Sum,
)
from convir.loops import Function, Nest, Processor, Schedule, write_function
from convir.loops.choose import _candidates
from convir.passes.fuse_regions import FuseRegions
from convir.runtime import evaluate

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}

Choose = Callable[..., Schedule]
Case = tuple[dict[str, tuple[int, ...]], dict[str, tuple]]

_POOL = {"stride": (2, 2), "kernel_size": (2, 2), "layout": "CHWN"}
_IMAGE = {"x": (2, 4, 3, 9), "w": (3, 2, 2, 2), "b": (3,)}
_CONV = {"conv": (Conv2dDirect(), "x", "w", "b")}

#: Extents that leave something over for every block and for vectors of 4, 8 and 16.
CASES: dict[str, Case] = {
    "product": (
        {"a": (5, 3), "b": (3, 37), "c": (5, 1)},
        {"product": (MatMul(), "a", "b", "c"), "relu": (Relu(), "product")},
    ),
    "product of rows": (
        {"a": (3, 19), "b": (5, 19), "c": (3, 5)},
        {"product": (MatMul(transpose_b=True), "a", "b"), "add": (Add(), "product", "c")},
    ),
    "product of columns": (
        {"a": (3, 9), "b": (3, 19), "c": (19,)},
        {"product": (MatMul(transpose_a=True), "a", "b"), "add": (Add(), "product", "c")},
    ),
    "two products": (
        {"a": (3, 5), "b": (5, 19), "c": (3, 2), "d": (2, 19)},
        {"first": (MatMul(), "a", "b"), "second": (MatMul(), "c", "d", "first")},
    ),
    "convolution and what is added": ({**_IMAGE, "y": (3, 3, 2, 9)}, {**_CONV, "add": (Add(), "y", "conv")}),
    "convolution and pooling": (_IMAGE, {**_CONV, "pool": (AvgPool2dTaps(**{**_POOL, "kernel_size": (1, 2)}), "conv")}),
    "weight gradient": (
        {"dy": (3, 3, 2, 19), "x": (2, 4, 3, 19), "w": (3, 2, 2, 2)},
        {"dw": (Conv2dDirectGradWeight(kernel_size=(2, 2)), "dy", "x"), "step": (Sub(), "w", "dw")},
    ),
    "pooling": ({"x": (2, 5, 4, 17)}, {"relu": (Relu(), "x"), "pool": (MaxPool2dTaps(**_POOL), "relu")}),
    "gradient of a pooling": (
        {"dy": (2, 2, 2, 17), "y": (2, 2, 2, 17), "x": (2, 4, 4, 17)},
        {"relu": (ReluGrad(), "dy", "y"), "dx": (MaxPool2dGradTaps(**_POOL), "relu", "x")},
    ),
    "chain": ({"x": (3, 19), "y": (19,)}, {"mul": (Mul(), "x", "x"), "add": (Add(), "mul", "y")}),
    "softmax by columns": (
        {"x": (5, 19)},
        {
            "max": (Max((0,), True), "x"),
            "sub": (Sub(), "x", "max"),
            "exp": (Exp(), "sub"),
            "sum": (Sum((0,), True), "exp"),
            "div": (Div(), "exp", "sum"),
        },
    ),
    "softmax by rows": (
        {"x": (5, 19)},
        {
            "max": (Max((1,), True), "x"),
            "sub": (Sub(), "x", "max"),
            "exp": (Exp(), "sub"),
            "sum": (Sum((1,), True), "exp"),
            "div": (Div(), "exp", "sum"),
        },
    ),
}

#: Numbers of four bytes in a vector.
WIDTHS = {"sse": 4, "avx2": 8, "avx512": 16}


def scheduled(op: Region, processor: Processor, choose: Choose | None = None) -> Function:
    """The source of a region; ``choose(nest, processor, itemsize, floats)`` instead of what is chosen."""
    types = [value.type for value in op.body.inputs]
    given, made = operands_of(op, types)
    program = joined(op)
    assert program is not None
    with pytest.MonkeyPatch.context() as patch:
        if choose is not None:
            patch.setattr("convir.loops.function.choose_schedule", choose)
        return write_function("loops", program, [*given, *made], processor)


def every_candidate(op: Region, processor: Processor) -> Iterator[Function]:
    """The region under the first schedule that is weighed for each of its nests, under the second, and so on."""
    number, most = 0, 1
    while number < most:
        counts = [1]

        def nth(*weighed: object, counts: list[int] = counts, number: int = number) -> Schedule:
            found = [*_candidates(*weighed)]
            counts.append(len(found))
            return found[number % len(found)]

        yield scheduled(op, processor, nth)
        number, most = number + 1, max(counts)


def assert_source(function: Function, arrays: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Run without Numba, it computes this and writes nothing else."""
    try:
        found = run_on(function, arrays, run_plain)[: len(expected)]
        assert_near(found, expected, TOLERANCE[expected[0].dtype.name])
    except Exception as error:
        error.add_note(function.source)
        raise


def check(case: Case, dtype: str, processor: Processor, every: int) -> None:
    """What is chosen, and of the other schedules one in ``every``; none if that is 0."""
    op, rng = region(*case, dtype=dtype), np.random.default_rng(0)
    arrays = [random_array(value.type, rng) for value in op.body.inputs]
    expected = evaluate(op, arrays)
    assert_source(scheduled(op, processor), arrays, expected)
    for function in islice(every_candidate(op, processor), 0, None, every) if every else ():
        assert_source(function, arrays, expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("processor", "dtype"), [(name, "float32") for name in WIDTHS] + [("avx512", "float64")])
def test_schedules_that_are_weighed(case, processor, dtype):
    check(CASES[case], dtype, PROCESSORS[processor], 5)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_schedule_that_is_weighed(case, processor, dtype):
    check(CASES[case], dtype, PROCESSORS[processor], 1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("processor", WIDTHS)
def test_every_width_is_weighed(case, processor):
    functions = every_candidate(region(*CASES[case], dtype="float32"), PROCESSORS[processor])
    assert any(schedule.width == WIDTHS[processor] for function in functions for schedule in function.schedules)


@pytest.mark.slow
@pytest.mark.parametrize("size", range(1, 36))
def test_axes_of_every_length(size):
    """Around one, two and four vectors of each width: rows of a product, what is added up, and columns."""
    for rows, inner, columns in ((size, 3, 2), (3, size, 2), (2, 3, size)):
        inputs = {"a": (rows, inner), "b": (columns, inner), "c": (columns,)}
        steps = {"product": (MatMul(transpose_b=True), "a", "b", "c"), "relu": (Relu(), "product")}
        for dtype in TOLERANCE:
            for processor in WIDTHS:
                check((inputs, steps), dtype, PROCESSORS[processor], 0)


def test_of_equal_schedules_the_one_that_reads_longer_runs():
    """Blocks of 4 filters by 3 rows have as few cycles, but for a loop's turns, and took a quarter longer."""
    shapes = {"x": (16, 22, 22, 16), "w": (16, 16, 3, 3), "y": (16, 20, 20, 16)}
    op = region(shapes, {"conv": (Conv2dDirect(), "x", "w"), "add": (Add(), "y", "conv")}, dtype="float32")
    (schedule,) = scheduled(op, PROCESSORS["avx2"]).schedules
    assert (schedule.vector, dict(schedule.block)) == ("n", {"o": 6, "n": 2})


def check_drawn(data: st.DataObject) -> None:
    """Regions of a random graph: as chosen, under any schedule that is weighed, and under any that fits."""
    dtype = data.draw(st.sampled_from([*TOLERANCE]), label="dtype")
    graph = data.draw(loop_graphs(dtype, most=5), label="graph")
    divided = data.draw(with_drawn_region(graph), label="region") if data.draw(st.booleans()) else FuseRegions()(graph)
    values = interpret(graph, arrays_for(graph, 0))
    assume(all(np.isfinite(value).all() for value in values.values()))
    processor = PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]), label="processor")]
    for node in (node for node in divided.nodes if isinstance(node.op, Region) and joined(node.op) is not None):
        integers = {f"x{place}_in" for place, value in enumerate(node.inputs) if not value.type.is_float}

        def weighed(*nest: object) -> Schedule:
            return data.draw(st.sampled_from([*_candidates(*nest)]), label="weighed")

        def fitting(nest: Nest, *_: object, integers: set[str] = integers) -> Schedule:
            return data.draw(schedules(nest, integers), label="fitting")

        arrays, expected = [values[v.name] for v in node.inputs], [values[v.name] for v in node.outputs]
        for choose in (None, weighed, fitting):
            assert_source(scheduled(node.op, processor, choose), arrays, expected)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_drawn_regions(data):
    check_drawn(data)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_very_many_drawn_regions(data):
    check_drawn(data)
