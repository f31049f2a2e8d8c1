"""What joining leaves alone, and what it makes of regions that no pass makes."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from support.generated import run_on, run_plain
from support.graphs import assert_close, random_array
from support.regions import assert_leaves, region

import convir
from convir.ir import Builder, TensorType
from convir.ir.ops import (
    Add,
    BroadcastTo,
    Constant,
    Conv2dDirect,
    Crop2d,
    CrossEntropyGrad,
    Flatten,
    Literal,
    MatMul,
    MaxPool2dTaps,
    Mul,
    Neg,
    Region,
    Relu,
    Reshape,
    Sum,
    Tanh,
    Transpose,
)
from convir.loops import Operand, Processor, write_function
from convir.runtime import evaluate

CONV, POOL = Conv2dDirect(), MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout="CHWN")
INPUTS = {"x": (2, 9, 8, 3), "w": (4, 2, 3, 3)}
SUMMED = {"a": (3, 4), "b": (3, 4)}


def test_what_two_nests_read_stays():
    steps = {"sum": (Add(), "a", "b"), "neg": (Neg(), "sum"), "mul": (Mul(), "sum", "neg")}
    assert_leaves(region(SUMMED, steps), "sum_ <- x0 x1\nout0 <- sum_", sum_=(3, 4))


def test_results_stay_and_are_read_where_they_are():
    steps = {"sum": (Add(), "a", "b"), "neg": (Neg(), "sum"), "tanh": (Tanh(), "neg")}
    assert_leaves(region(SUMMED, steps, "sum", "tanh"), "out0 <- x0 x1\nout1 <- out0")
    assert_leaves(region(SUMMED, steps, "tanh", "neg"), "out1 <- x0 x1\nout0 <- out1")


def test_what_nobody_reads_is_computed_and_kept():
    """A pass that leaves dead nodes in a body wastes time, nothing else."""
    steps = {"sum": (Add(), "a", "b"), "neg": (Neg(), "sum"), "tanh": (Tanh(), "a")}
    assert_leaves(region(SUMMED, steps), "neg_ <- x0 x1\nout0 <- x0", neg_=(3, 4))


def test_what_a_reduction_reads_stays():
    """Put into the reduction it would be computed again for every result."""
    steps = {"neg": (Neg(), "a"), "sum": (Sum((1,)), "neg")}
    assert_leaves(region(SUMMED, steps), "neg_ <- x0\nout0 <- neg_", neg_=(3, 4))
    product = region({**SUMMED, "c": (4, 2)}, {"sum": (Add(), "a", "b"), "product": (MatMul(), "sum", "c")})
    assert_leaves(product, "sum_ <- x0 x1\nout0 <- sum_ x2", sum_=(3, 4))


def test_what_is_read_in_another_order_stays():
    steps = {"neg": (Neg(), "a"), "turned": (Transpose((1, 0)), "neg"), "sum": (Add(), "turned", "c")}
    op = region({"a": (3, 4), "c": (4, 3)}, steps)
    assert_leaves(op, "neg_ <- x0\nout0 <- neg_ x1", neg_=(3, 4))
    square = region({"a": (3, 3)}, {"neg": (Neg(), "a"), "turned": (Transpose((1, 0)), "neg")})
    assert_leaves(square, "neg_ <- x0\nout0 <- neg_", neg_=(3, 3))


def test_what_is_read_at_more_points_stays():
    op = region({"a": (1, 4)}, {"neg": (Neg(), "a"), "wide": (BroadcastTo((3, 4)), "neg")})
    assert_leaves(op, "neg_ <- x0\nout0 <- neg_", neg_=(1, 4))
    higher = region({"a": (3, 4)}, {"neg": (Neg(), "a"), "wide": (BroadcastTo((1, 3, 4)), "neg")})
    assert_leaves(higher, "out0 <- x0")


def test_what_is_read_at_fewer_points_stays():
    """The first rows lie where they lay; the others would be stored behind the end."""
    steps = {"neg": (Neg(), "x"), "crop": (Crop2d(((0, 1), (0, 0)), "CHWN"), "neg")}
    assert_leaves(region({"x": (1, 4, 3, 2)}, steps), "3 rows: neg_ <- x0; out0 <- neg_", neg_=(1, 1, 3, 2))


@pytest.fixture
def small_blocks(monkeypatch):
    """Products go through blocks however small they are."""
    rule = import_module("convir.loops.rules.matmul")
    for name, value in {"STAYS": 256, "ROWS": 2, "COLUMNS": 2}.items():
        monkeypatch.setattr(rule, name, value)


def test_what_follows_a_product_in_blocks_is_one_nest(small_blocks):
    inputs = {"w": (5, 7), "x": (7, 12), "r": (5, 12), "s": (5, 12)}
    before = {"left": (Neg(), "r"), "more": (Tanh(), "left"), "product": (MatMul(), "w", "x")}
    after = {"sum": (Add(), "product", "more"), "relu": (Relu(), "sum"), "mul": (Mul(), "relu", "s")}
    expected = "more_ <- x2\n1 rows: product_patches <- x1; product_ <- product_patches x0\nout0 <- more_ product_ x3"
    assert_leaves(
        region(inputs, {**before, **after}), expected, more_=(5, 12), product_=(5, 12), product_patches=(7, 4)
    )


def test_what_nests_on_both_sides_of_a_product_in_blocks_read_stays(small_blocks):
    inputs = {"w": (5, 7), "x": (7, 12), "r": (5, 12)}
    steps = {"left": (Neg(), "r"), "more": (Tanh(), "left"), "product": (MatMul(), "w", "x"),
             "sum": (Add(), "product", "left")}  # fmt: skip
    expected = (
        "left_ <- x2\nout0 <- left_\n1 rows: product_patches <- x1; product_ <- product_patches x0\n"
        "out1 <- left_ product_"
    )
    sizes = {"left_": (5, 12), "product_": (5, 12), "product_patches": (7, 4)}
    assert_leaves(region(inputs, steps, "more", "sum"), expected, **sizes)


def test_views_between_are_no_hindrance():
    steps = {"conv": (CONV, "x", "w"), "view": (Reshape((28, 18)), "conv"), "relu": (Relu(), "view")}
    assert_leaves(region(INPUTS, steps), "out0 <- x0 x1")
    steps["sum"] = (Add(), "relu", "y")
    assert_leaves(region({**INPUTS, "y": (28, 18)}, steps), "out0 <- x0 x1 x2")
    per_column = region({**INPUTS, "y": (18,)}, steps)
    assert_leaves(per_column, "relu_ <- x0 x1\nout0 <- relu_ x2", relu_=(28, 18))


def test_a_product_that_starts_from_a_view_of_another_stays():
    """Both reduce over ``r``; flattened, the second would have the first's."""
    steps = {"first": (MatMul(), "a", "b"), "view": (Reshape((10, 1)), "first")}
    op = region({"a": (5, 3), "b": (3, 2), "c": (4, 10), "d": (4, 1)}, {**steps, "s": (MatMul(True), "c", "d", "view")})
    assert_leaves(op, "first_ <- x0 x1\nout0 <- first_ x2 x3", first_=(5, 2))


@pytest.mark.parametrize(("before", "after"), [((1, 5), (5, 1)), ((5, 1), (1, 5)), ((1, 5, 1), (5,))])
def test_views_between_shapes_of_one_long_axis(before, after):
    steps = {"neg": (Neg(), "x"), "view": (Reshape(after), "neg"), "sum": (Add(), "view", "y")}
    assert_leaves(region({"x": before, "y": after}, steps), "out0 <- x0 x1")


def test_an_image_flattened_for_a_product():
    steps = {"pool": (POOL, "x"), "flat": (Reshape((32, 3)), "pool"), "product": (MatMul(), "v", "flat")}
    op = region({"x": (2, 9, 8, 3), "v": (5, 32)}, {**steps, "relu": (Relu(), "product")})
    assert_leaves(op, "pool_ <- x0\nout0 <- pool_ x1", pool_=(2, 4, 4, 3))


def test_products_that_start_from_each_other():
    """The axes that they reduce over get names apart, however many: one axis for two would have one's length."""
    inputs = {"a": (5, 3), "b": (3, 4), "c": (5, 6), "d": (6, 4), "e": (5, 2), "f": (2, 4)}
    steps = {"p": (MatMul(), "a", "b"), "q": (MatMul(), "c", "d", "p"), "s": (MatMul(), "e", "f", "q")}
    (nest,) = assert_leaves(region(inputs, steps), "out0 <- x0 x1 x2 x3 x4 x5").parts
    assert {axis.name: axis.extent for axis in nest.reduced} == {"r": 3, "rr": 6, "rrr": 2}


def test_a_region_in_a_region_is_joined_with_what_is_around_it():
    """What is inside runs row by row by itself, and its buffer is too small for anybody else."""
    inner = region(INPUTS, {"conv": (CONV, "x", "w"), "pool": (POOL, "conv")})
    op = region(INPUTS, {"pair": (inner, "x", "w"), "relu": (Relu(), "pair")})
    assert_leaves(op, "3 rows: pair_conv_ <- x0 x1; out0 <- pair_conv_", pair_conv_=(4, 2, 6, 3))
    around = region(INPUTS, {"neg": (Neg(), "x"), "first": (inner, "neg", "w"), "tanh": (Tanh(), "first")})
    expected = "neg_ <- x0\n3 rows: first_conv_ <- neg_ x1; out0 <- first_conv_"
    assert_leaves(around, expected, neg_=(2, 9, 8, 3), first_conv_=(4, 2, 6, 3))


@pytest.mark.parametrize("wanted", ["x", "view", "constant", "twice"])
def test_results_that_no_node_computes_are_refused(wanted):
    """Nobody would write them: neither loops nor NumPy's kernel."""
    builder = Builder("region")
    values = {"x": builder.input("x", TensorType((2, 3)))}
    values["twice"] = builder.emit(Neg(), values["x"], name="twice")
    values["view"] = builder.emit(Flatten(0), values["twice"], name="view")
    values["constant"] = builder.emit(Constant(Literal(np.ones(2, "f"))), name="constant")
    body = builder.finish([values["twice"], values[wanted]], {})
    with pytest.raises(convir.ShapeError, match=rf"region: the results of a region .* but {wanted}: f32.* is an input"):
        Region(body)


def run_as_plain_python(op: Region, names: list[str], results: list[str]) -> None:
    """The source on operands and results of these names computes what the op does."""
    rng = np.random.default_rng(0)
    given = [Operand(name, value.type) for name, value in zip(names, op.body.inputs, strict=True)]
    made = [Operand(name, value.type) for name, value in zip(results, op.body.outputs, strict=True)]
    program = convir.loops.program_for(op, given, made)
    function = write_function("loops", program, [*given, *made], Processor())
    assert len({operand.name for operand in function.operands}) == len(function.operands)
    arrays = [random_array(operand.type, rng) for operand in given]
    assert_close(run_on(function, arrays, run_plain)[: len(made)], evaluate(op, arrays), 1e-12)


def test_a_value_is_not_taken_for_another_of_its_name():
    """Buffers are called after values, and rules have names of their own for theirs."""
    steps = {"neg": (Neg(), "x"), "sum": (Sum((1,)), "neg")}
    run_as_plain_python(region({"x": (3, 4)}, steps), ["neg_"], ["out0"])
    builder = Builder("region")
    grad = builder.input("total", TensorType((), "float64"))
    logits = builder.input("top", TensorType((3, 4), "float64"))
    target = builder.input("share", TensorType((3,), "int64"))
    loss = builder.emit(CrossEntropyGrad(), grad, logits, target, name="x.1")
    op = Region(builder.finish([builder.emit(Neg(), loss, name="lambda")], {}))
    run_as_plain_python(op, ["total", "top", "share"], ["out0"])
    run_as_plain_python(op, ["x_1_", "x_1_top", "x_1_total"], ["out0"])


def test_operands_of_a_region_are_variables_of_their_own():
    """However the values are called that a pass puts into a region."""
    pytest.importorskip("numba")
    from convir.runtime.native.kernels import function_for

    names = ["out", "exp", "exp_", "conv.weight", "conv_weight", "lambda"]
    steps = {f"sum{place}": (Add(), *pair) for place, pair in enumerate([names[:2], names[2:4], names[4:]])}
    op = region(dict.fromkeys(names, (3, 4)), {**steps, "tanh": (Tanh(), "sum2")}, "sum0", "sum1", "tanh")
    types = tuple(value.type for value in op.body.inputs)
    function = function_for(op, types, op.infer(*types), Processor())
    called = [operand.name for operand in function.operands[:6]]
    assert called == ["out_", "exp_", "exp__", "conv_weight", "conv_weight_", "lambda_"]
    arrays = [random_array(type, np.random.default_rng(0)) for type in types]
    assert_close(run_on(function, arrays, run_plain)[:3], evaluate(op, arrays), 1e-12)
