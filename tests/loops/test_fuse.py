"""What joining leaves of a region: which nests, what went into what, and which buffers are gone."""

from __future__ import annotations

import pytest
from support.regions import assert_leaves, region

from convir.ir import Builder, Op, TensorType
from convir.ir.ops import (
    Add,
    AvgPool2dTaps,
    Conv2dDirect,
    Crop2d,
    CrossEntropy,
    Dilate2d,
    Div,
    Exp,
    FlipWeight,
    MatMul,
    Max,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    Mul,
    Neg,
    Pad2d,
    Region,
    Relu,
    ReluGrad,
    Reshape,
    Sub,
    Sum,
    Tanh,
)
from convir.loops.expr import Reduce, walk
from convir.loops.fuse import MOST_PARTS

#: With one sample, one group or one filter some loops have one turn; they must not stand in the way.
on_batches = pytest.mark.parametrize("batch", [1, 3])

CHWN = "CHWN"
IMAGE, WEIGHT, BIAS = (2, 9, 8), (4, 2, 3, 3), (4,)
CONVOLVED = (4, 7, 6)


def pool(kind: type[Op] = MaxPool2dTaps, stride=(2, 2), kernel_size=(2, 2), layout=CHWN, **options) -> Op:
    return kind(stride=stride, kernel_size=kernel_size, layout=layout, **options)


@on_batches
@pytest.mark.parametrize("groups", [1, 2])
def test_bias_and_activation_go_into_a_convolution(batch, groups):
    weight = (4, 2 // groups, 3, 3)
    steps = {"conv": (Conv2dDirect(groups=groups), "x", "w", "b"), "relu": (Relu(), "conv")}
    assert_leaves(region({"x": (*IMAGE, batch), "w": weight, "b": BIAS}, steps), "out0 <- x0 x1 x2")


@on_batches
@pytest.mark.parametrize("kind", [MaxPool2dTaps, AvgPool2dTaps])
def test_a_pooling_runs_row_by_row_behind_its_convolution(batch, kind):
    steps = {"conv": (Conv2dDirect(), "x", "w", "b"), "relu": (Relu(), "conv"), "pool": (pool(kind), "relu")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT, "b": BIAS}, steps)
    assert_leaves(op, "3 rows: relu_ <- x0 x1 x2; out0 <- relu_", relu_=(4, 2, 6, batch))


@on_batches
def test_what_follows_a_pooling_goes_into_it(batch):
    steps = {"conv": (Conv2dDirect(), "x", "w"), "pool": (pool(), "conv"), "add": (Add(), "pool", "y")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT, "y": (4, 3, 3, batch)}, {**steps, "tanh": (Tanh(), "add")})
    assert_leaves(op, "3 rows: conv_ <- x0 x1; out0 <- conv_ x2", conv_=(4, 2, 6, batch))


#: Windows behind a convolution of 7 x 6: the shared loop, and the rows that one of its turns needs.
WINDOWS = {
    "stride above the window": (pool(stride=(3, 3)), 2, 2),
    "dilated": (pool(stride=(3, 3), dilation=(2, 2)), 2, 3),
    "rows left over": (pool(stride=(4, 1), kernel_size=(3, 1)), 2, 3),
    "one row of windows": (pool(stride=(6, 2)), 1, 2),
    "one tap": (pool(stride=(2, 2), kernel_size=(1, 1)), 4, 1),
}


@on_batches
@pytest.mark.parametrize(("window", "rows", "seen"), WINDOWS.values(), ids=WINDOWS.keys())
def test_a_buffer_has_the_rows_that_one_row_of_windows_sees(batch, window, rows, seen):
    steps = {"conv": (Conv2dDirect(), "x", "w"), "pool": (window, "conv")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT}, steps)
    assert_leaves(op, f"{rows} rows: conv_ <- x0 x1; out0 <- conv_", conv_=(4, seen, 6, batch))


#: Windows that have rows in common, see all rows, or whose stride leads out of the image.
ALONE = {
    "overlapping": pool(stride=(1, 1)),
    "all rows": pool(stride=(7, 2), kernel_size=(7, 2)),
    "stride above the height": pool(stride=(20, 2)),
}


@on_batches
@pytest.mark.parametrize("window", ALONE.values(), ids=ALONE.keys())
def test_a_pooling_that_is_not_joined(batch, window):
    op = region({"x": (*IMAGE, batch), "w": WEIGHT}, {"conv": (Conv2dDirect(), "x", "w"), "pool": (window, "conv")})
    assert_leaves(op, "conv_ <- x0 x1\nout0 <- conv_", conv_=(*CONVOLVED, batch))


@on_batches
def test_a_convolution_stores_between_the_margins_of_what_pads_it(batch):
    """A pooling with padding, as ops: nothing else may write the buffer, so the pooling reads it whole."""
    pad = Pad2d(((1, 0), (0, 1)), CHWN, float("-inf"))
    steps = {"conv": (Conv2dDirect(), "x", "w"), "pad": (pad, "conv"), "pool": (pool(), "pad")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT}, steps)
    assert_leaves(op, "pad_ <-\npad_ <-\npad_ <- x0 x1\nout0 <- pad_", pad_=(4, 8, 7, batch))


@pytest.mark.parametrize("batch", [2, 3])
def test_rows_of_another_layout(batch):
    """The first pooling's windows lie in planes of one sample: a turn of the shared loop makes one channel."""
    image, weight = (batch, 2, 5, 4), (2, 2)
    steps = {"square": (Mul(), "x", "x"), "pool": (pool(layout="NCHW"), "square"), "add": (Add(), "pool", "y")}
    op = region({"x": image, "y": (batch, 2, *weight)}, steps)
    assert_leaves(op, "2 rows: square_ <- x0; out0 <- square_ x1", square_=(batch, 1, 5, 4))


@on_batches
def test_columns_that_are_cut_off(batch):
    """A crop starts one column further, in the same row: it is read row by row; from the next row on it is not."""
    inputs, conv = {"x": (*IMAGE, batch), "w": WEIGHT}, (Conv2dDirect(), "x", "w")
    columns = region(inputs, {"conv": conv, "crop": (Crop2d(((0, 0), (1, 1)), CHWN), "conv")})
    assert_leaves(columns, "7 rows: conv_ <- x0 x1; out0 <- conv_", conv_=(4, 1, 6, batch))
    rows = region(inputs, {"conv": conv, "crop": (Crop2d(((1, 0), (1, 1)), CHWN), "conv")})
    assert_leaves(rows, "conv_ <- x0 x1\nout0 <- conv_", conv_=(*CONVOLVED, batch))


@on_batches
def test_one_pooling_is_joined(batch):
    steps = {"conv": (Conv2dDirect(), "x", "w"), "first": (pool(), "conv"), "second": (pool(), "first")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT}, steps)
    expected = "3 rows: conv_ <- x0 x1; first_ <- conv_\nout0 <- first_"
    assert_leaves(op, expected, conv_=(4, 2, 6, batch), first_=(4, 3, 3, batch))


@on_batches
def test_the_first_of_two_poolings_is_joined_wherever_it_stands(batch):
    inputs = {"x": (*IMAGE, batch), "w": WEIGHT, "v": (3, 4, 1, 1)}
    steps = {"conv": (Conv2dDirect(), "x", "w"), "pool": (pool(), "conv")}
    steps |= {"next": (Conv2dDirect(), "pool", "v"), "last": (pool(), "next")}
    expected = "3 rows: conv_ <- x0 x1; pool_ <- conv_\nnext_ <- pool_ x2\nout0 <- next_"
    buffers = {"conv_": (4, 2, 6, batch), "pool_": (4, 3, 3, batch), "next_": (3, 3, 3, batch)}
    assert_leaves(region(inputs, steps), expected, **buffers)


@on_batches
def test_a_sum_over_channels_runs_row_by_row(batch):
    """Channels are other planes: they do not count as rows that a window sees."""
    inputs = {"x": (*IMAGE, batch), "w": WEIGHT, "v": (3, 4, 1, 1)}
    steps = {"conv": (Conv2dDirect(), "x", "w"), "mixed": (Conv2dDirect(), "conv", "v")}
    assert_leaves(region(inputs, steps), "7 rows: conv_ <- x0 x1; out0 <- conv_ x2", conv_=(4, 1, 6, batch))


@on_batches
def test_what_stands_between_keeps_a_pooling_from_its_convolution(batch):
    steps = {"conv": (Conv2dDirect(), "x", "w"), "neg": (Neg(), "x"), "pool": (pool(), "conv")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT}, steps, "neg", "pool")
    assert_leaves(op, "conv_ <- x0 x1\nout0 <- x0\nout1 <- conv_", conv_=(*CONVOLVED, batch))


@on_batches
def test_rows_that_a_view_puts_together_or_apart(batch):
    """The buffer's rows are the writer's: a row of windows over two planes, or over two axes, is none of theirs."""
    inputs = {"x": (2, 6, 8, batch)}
    planes = {"neg": (Neg(), "x"), "view": (Reshape((1, 12, 8, batch)), "neg"), "pool": (pool(), "view")}
    assert_leaves(region(inputs, planes), "neg_ <- x0\nout0 <- neg_", neg_=(2, 6, 8, batch))
    axes = {"neg": (Neg(), "x"), "view": (Reshape((2, 6, 8, batch)), "neg"), "tanh": (Tanh(), "view")}
    op = region({"x": (2, 3, 2, 8, batch)}, {**axes, "pool": (pool(), "tanh")})
    assert_leaves(op, "tanh_ <- x0\nout0 <- tanh_", tanh_=(2, 6, 8, batch))


@on_batches
def test_a_residual_is_added_in_the_convolution(batch):
    steps = {"conv": (Conv2dDirect(), "x", "w"), "add": (Add(), "y", "conv"), "relu": (Relu(), "add")}
    op = region({"x": (*IMAGE, batch), "w": WEIGHT, "y": (*CONVOLVED, batch)}, steps)
    assert_leaves(op, "out0 <- x0 x1 x2")


@on_batches
def test_a_chain_is_one_nest(batch):
    steps = {"neg": (Neg(), "x"), "tanh": (Tanh(), "neg"), "mul": (Mul(), "tanh", "x"), "exp": (Exp(), "mul")}
    (nest,) = assert_leaves(region({"x": (3, batch)}, steps), "out0 <- x0").parts
    assert [axis.extent for axis in nest.axes] == [3, batch]


def test_what_doubles_is_cut_before_it_is_long():
    steps = {f"x{n}": (Mul(), f"x{n - 1}", f"x{n - 1}") for n in range(1, 11)}
    op = region({"x0": (3, 2)}, steps)
    program = assert_leaves(op, "x5_ <- x0\nout0 <- x5_", x5_=(3, 2))
    assert all(sum(1 for _ in walk(store.value)) <= MOST_PARTS for nest in program.nests for store in nest.stores)


@on_batches
def test_softmax(batch):
    steps = {"max": (Max((0,), True), "x"), "sub": (Sub(), "x", "max"), "exp": (Exp(), "sub")}
    steps |= {"sum": (Sum((0,), True), "exp"), "div": (Div(), "exp", "sum")}
    expected = "max_ <- x0\nexp_ <- max_ x0\nsum_ <- exp_\nout0 <- exp_ sum_"
    assert_leaves(region({"x": (5, batch)}, steps), expected, max_=(1, batch), exp_=(5, batch), sum_=(1, batch))


@on_batches
def test_cross_entropy(batch):
    """The sum of exponentials goes into each sample's loss, beside the sum that picks the target."""
    builder = Builder("region")
    logits, target = (
        builder.input("x", TensorType((batch, 5), "float64")),
        builder.input("t", TensorType((batch,), "int64")),
    )
    loss = builder.emit(CrossEntropy(), builder.emit(Neg(), logits, name="neg"), target, name="loss")
    op = Region(builder.finish([loss], {}))
    expected = "neg_ <- x0\nloss_top <- neg_\nloss_share <- loss_top neg_ x1\nout0 <- loss_share"
    program = assert_leaves(op, expected, neg_=(batch, 5), loss_top=(batch,), loss_share=(batch,))
    share = program.nests[2]
    assert {axis.name: axis.extent for axis in share.reduced} == {"k": 5, "kk": 5}
    assert sum(isinstance(part, Reduce) for part in share.parts()) == 2


@on_batches
def test_linear_and_relu(batch):
    inputs = {"w": (5, 7), "x": (7, batch), "b": (5, 1)}
    op = region(inputs, {"linear": (MatMul(), "w", "x", "b"), "relu": (Relu(), "linear")})
    assert_leaves(op, "out0 <- x0 x1 x2")


@on_batches
def test_input_gradient_of_a_convolution_and_of_the_relu_before_it(batch):
    steps = {"flip": (FlipWeight(), "w"), "dilate": (Dilate2d((2, 2)), "dy")}
    steps |= {"pad": (Pad2d(((2, 2), (2, 2)), CHWN), "dilate"), "conv": (Conv2dDirect(), "pad", "flip")}
    op = region(
        {"dy": (4, 4, 3, batch), "w": WEIGHT, "y": (2, 9, 7, batch)}, {**steps, "dx": (ReluGrad(), "conv", "y")}
    )
    moved = "flip_ <- x1\ndilate_ <-\ndilate_ <- x0\npad_ <-\npad_ <-\npad_ <-\npad_ <-\npad_ <- dilate_\n"
    buffers = {"flip_": (2, 4, 3, 3), "dilate_": (4, 7, 5, batch), "pad_": (4, 11, 9, batch)}
    assert_leaves(op, moved + "out0 <- flip_ pad_ x2", **buffers)


@on_batches
@pytest.mark.parametrize("maximum", [[], ["y"]], ids=["computed again", "given"])
def test_relu_grad_before_and_after_the_gradient_of_a_pooling(batch, maximum):
    """Taps store one after the other: only what comes before goes in, as often as there are taps."""
    inputs = {"dy": (4, 3, 3, batch), "x": (4, 6, 6, batch), "y": (4, 3, 3, batch)}
    grad = (pool(MaxPool2dGradTaps), "dy", "x", *maximum)
    operands = "x0 x1 x2" if maximum else "x0 x1"
    after = region(inputs, {"grad": grad, "dx": (ReluGrad(), "grad", "x")})
    assert_leaves(after, f"grad_ <- {operands}\nout0 <- grad_ x1", grad_=(4, 6, 6, batch))
    before = region(inputs, {"dz": (ReluGrad(), "dy", "y"), "grad": (grad[0], "dz", *grad[2:])})
    assert_leaves(before, "out0 <- x0 x1 x2")


def test_a_maximum_goes_into_its_gradient():
    steps = {"y": (pool(), "x"), "dx": (pool(MaxPool2dGradTaps), "dy", "x", "y")}
    assert_leaves(region({"dy": (4, 3, 3, 2), "x": (4, 6, 6, 2)}, steps), "out0 <- x0 x1")
