"""Shape rules and attribute checks of the ops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convir import DTypeError, ShapeError, TensorType
from convir.ir import OPS, Op
from convir.ir.ops import (
    Add,
    AvgPool2d,
    AvgPool2dGrad,
    BroadcastTo,
    Col2im,
    Constant,
    Conv2d,
    Conv2dDirect,
    Conv2dDirectGradWeight,
    Conv2dGradInput,
    Conv2dGradWeight,
    Crop2d,
    CrossEntropy,
    CrossEntropyGrad,
    Dilate2d,
    DropoutMask,
    Flatten,
    FlipWeight,
    Im2col,
    Literal,
    MatMul,
    Max,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dTaps,
    Pad2d,
    Relu,
    ReluGrad,
    Reshape,
    Slice2d,
    Slice2dGrad,
    Sum,
    Transpose,
    window_count,
)


def f32(*shape: int) -> TensorType:
    return TensorType(shape)


def f64(*shape: int) -> TensorType:
    return TensorType(shape, "float64")


def i64(*shape: int) -> TensorType:
    return TensorType(shape, "int64")


INFERRED = [
    (Conv2d(), [f32(2, 3, 8, 9), f32(4, 3, 3, 2)], f32(2, 4, 6, 8)),
    (Conv2d((2, 3), (1, 2), (2, 1)), [f64(1, 1, 7, 8), f64(5, 1, 3, 3), f64(5)], f64(1, 5, 3, 4)),
    (Conv2d(groups=2), [f32(1, 4, 3, 3), f32(6, 2, 3, 3)], f32(1, 6, 1, 1)),
    (Conv2dGradWeight(kernel_size=(3, 2)), [f32(2, 4, 6, 8), f32(2, 3, 8, 9)], f32(4, 3, 3, 2)),
    (Conv2dGradInput(input_size=(8, 9)), [f32(2, 4, 6, 8), f32(4, 3, 3, 2)], f32(2, 3, 8, 9)),
    (MaxPool2d((2, 2), kernel_size=(2, 2)), [f32(1, 2, 5, 7)], f32(1, 2, 2, 3)),
    (MaxPool2d((2, 2), kernel_size=(2, 2), ceil_mode=True), [f32(1, 2, 5, 7)], f32(1, 2, 3, 4)),
    (MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout="CHWN"), [f32(2, 5, 7, 1)], f32(2, 2, 3, 1)),
    (MaxPool2d((2, 2), kernel_size=(2, 2), activation="relu"), [f32(1, 2, 5, 7), f32(2)], f32(1, 2, 2, 3)),
    (MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout="CHWN"), [f32(2, 5, 7, 1), f32(2)], f32(2, 2, 3, 1)),
    (MaxPool2dGrad((2, 2), kernel_size=(2, 2)), [f32(1, 2, 2, 3), f32(1, 2, 5, 7)], f32(1, 2, 5, 7)),
    (AvgPool2dGrad((2, 2), kernel_size=(2, 2), input_size=(5, 7)), [f32(1, 2, 2, 3)], f32(1, 2, 5, 7)),
    (Im2col((3, 2), (2, 1)), [f32(2, 7, 6, 3)], f32(12, 45)),
    (Col2im((3, 2), (2, 1), input_size=(7, 6)), [f32(12, 45)], f32(2, 7, 6, 3)),
    (MatMul(), [f32(2, 3), f32(3, 4)], f32(2, 4)),
    (MatMul(True, True), [f32(3, 2), f32(4, 3), f32(4)], f32(2, 4)),
    (MatMul(), [f32(5, 1, 2, 3), f32(6, 3, 4)], f32(5, 6, 2, 4)),
    (Add(), [f32(4, 1, 3), f32(2, 1)], f32(4, 2, 3)),
    (Add(), [f32(), f32()], f32()),
    (Sum((0, 2)), [f32(2, 3, 4)], f32(3)),
    (Max((0, 2), True), [f32(2, 3, 4)], f32(1, 3, 1)),
    (Sum(()), [f32(2, 3)], f32(2, 3)),
    (Reshape((3, -1)), [f32(2, 3)], f32(3, 2)),
    (Reshape((0, 0, 1)), [f32(2, 3)], f32(2, 3, 1)),
    (Flatten(), [f32(2, 3, 4)], f32(2, 12)),
    (Flatten(-2), [i64(2, 3, 4)], i64(2, 12)),
    (Transpose((2, 0, 1)), [f32(2, 3, 4)], f32(4, 2, 3)),
    (BroadcastTo((5, 2, 3)), [f32(2, 1)], f32(5, 2, 3)),
    (Pad2d(((1, 2), (0, 3))), [f32(1, 1, 2, 2)], f32(1, 1, 5, 5)),
    (Crop2d(((1, 2), (0, 3))), [f32(1, 1, 5, 5)], f32(1, 1, 2, 2)),
    (Slice2d((2, 3)), [f32(2, 5, 6, 4)], f32(2, 3, 2, 4)),
    (Slice2dGrad((2, 3), (5, 6)), [f32(2, 3, 2, 4)], f32(2, 5, 6, 4)),
    (CrossEntropy(), [f32(4, 10), i64(4)], f32()),
    (CrossEntropy(class_axis=0), [f32(10, 4), i64(4)], f32()),
    (CrossEntropyGrad(class_axis=0), [f32(), f32(10, 4), i64(4)], f32(10, 4)),
    (Constant(Literal(np.zeros((2, 1), "f"))), [], f32(2, 1)),
]


@pytest.mark.parametrize(("op", "operands", "result"), INFERRED, ids=str)
def test_inferred_types(op, operands, result):
    assert op.infer(*operands) == (result,)


#: Operands that do not fit, and what the message says of them.
REFUSED = [
    (Conv2d(), [f32(3, 8, 8), f32(1, 3, 3, 3)], ShapeError, r"input must have 4 dimensions \(N, C, H, W\)"),
    (Conv2d(), [f32(1, 3, 8, 8), f32(3, 3, 3)], ShapeError, r"weight must have 4 dimensions"),
    (Conv2d(), [f32(1, 1, 8, 8), f32(8, 3, 3, 3)], ShapeError, r"input has 1 channel, weight f32\[8,3,3,3\] expects 3"),
    (Conv2d(groups=2), [f32(1, 6, 8, 8), f32(4, 2, 3, 3)], ShapeError, r"expects 4 \(2 groups of 2\)"),
    (Conv2d(groups=2), [f32(1, 3, 8, 8), f32(4, 1, 3, 3)], ShapeError, r"groups=2 must divide both the 3 input and"),
    (Conv2d(), [f32(1, 1, 2, 9), f32(1, 1, 3, 3)], ShapeError, r"kernel 3x3 is larger than the padded input 2x9"),
    (Conv2d(dilation=(2, 2)), [f32(1, 1, 4, 9), f32(1, 1, 3, 3)], ShapeError, r"\(5x5 with dilation \(2, 2\)\)"),
    (Conv2d(), [f32(1, 1, 4, 4), f32(2, 1, 3, 3), f32(3)], ShapeError, r"bias must be f32\[2\], got f32\[3\]"),
    (Conv2d(), [f32(1, 1, 4, 4), f64(2, 1, 3, 3)], DTypeError, r"input is float32, weight is float64"),
    (Conv2d(), [f32(1, 1, 4, 4), f32(2, 1, 3, 3), f64(2)], DTypeError, r"bias is float64"),
    (Conv2d(), [f32(1, 1, 4, 4)], ShapeError, r"takes operands \(input, weight, bias\?\), got 1"),
    (Conv2dGradWeight(kernel_size=(3, 3)), [f32(1, 1, 2, 2), f32(1, 1, 5, 5)], ShapeError, r"grad must be f32"),
    (Conv2dGradInput(input_size=(5, 5)), [f32(1, 1, 2, 2), f32(1, 1, 3, 3)], ShapeError, r"grad must be f32"),
    (MaxPool2d(kernel_size=(3, 3)), [f32(1, 1, 2, 4)], ShapeError, r"kernel 3x3 is larger than the padded input 2x4"),
    (MaxPool2dGrad(kernel_size=(2, 2)), [f32(1, 1, 2, 2), f32(1, 1, 4, 4), f32(1, 1, 3, 3)], ShapeError, "grad"),
    (MatMul(), [f32(2, 3), f32(2, 3)], ShapeError, r"inner dimensions differ: 3 of f32\[2,3\] against 2 of f32\[2,3\]"),
    (MatMul(transpose_a=True), [f32(2, 3), f32(4, 4)], ShapeError, r"2 of f32\[2,3\] transposed against 4"),
    (MatMul(), [f32(3), f32(3, 3)], ShapeError, r"at least 2 dimensions"),
    (MatMul(), [f32(2, 3), f32(3, 4), f32(3)], ShapeError, r"do not broadcast together"),
    (MatMul(), [f32(2, 3), f32(3, 4), f32(5, 2, 4)], ShapeError, r"does not broadcast to the product"),
    (Add(), [f32(2), f32(3)], ShapeError, r"shapes \[2\] and \[3\] do not broadcast together"),
    (Add(), [i64(2), i64(2)], DTypeError, r"a must be float32 or float64"),
    (Relu(), [f32(2), f32(2)], ShapeError, r"takes operands \(input\), got 2"),
    (Relu(), [i64(2)], DTypeError, r"input must be float32 or float64, got i64\[2\]"),
    (ReluGrad(), [f32(2), f32(3)], ShapeError, r"result must be f32\[2\], got f32\[3\]"),
    (Sum((2,)), [f32(2, 3)], ShapeError, r"axes \(2,\) are out of range for f32\[2,3\]"),
    (Reshape((4, -1)), [f32(2, 3)], ShapeError, r"cannot reshape f32\[2,3\] with 6 elements to \[4, -1\]"),
    (Reshape((2, 3, 0)), [f32(2, 3)], ShapeError, r"keeps a dimension that f32\[2,3\] does not have"),
    (Flatten(2), [f32(2, 3)], ShapeError, r"axis 2 is out of range for 2 dimensions"),
    (Flatten(1, 0), [f32(2, 3)], ShapeError, r"start_dim 1 comes after end_dim 0"),
    (Transpose((0, 0)), [f32(2, 3)], ShapeError, r"\(0, 0\) is not a permutation of the 2 axes"),
    (BroadcastTo((3, 2)), [f32(3)], ShapeError, r"do not broadcast together"),
    (BroadcastTo((1, 3)), [f32(2, 3)], ShapeError, r"f32\[2,3\] does not broadcast to \[1, 3\]"),
    (Crop2d(((1, 1), (0, 0))), [f32(1, 1, 2, 2)], ShapeError, r"leave nothing of f32\[1,1,2,2\]"),
    (Slice2dGrad((2, 2), (5, 5)), [f32(1, 2, 3, 1)], ShapeError, r"input must be f32\[1,3,3,1\], got f32\[1,2,3,1\]"),
    (Im2col((3, 3)), [f32(2, 2, 2)], ShapeError, r"\(C, H, W, N\)"),
    (Col2im((2, 2), input_size=(3, 3)), [f32(6, 8)], ShapeError, r"f32\[6,8\] is not a patch matrix"),
    (CrossEntropy(), [f32(4, 10), f32(4)], DTypeError, r"target holds class indices, int64 or int32, got f32\[4\]"),
    (CrossEntropy(), [f32(4, 10), i64(3)], ShapeError, r"target must be i64\[4\], got i64\[3\]"),
    (CrossEntropy(), [f32(4), i64(4)], ShapeError, r"logits must have 2 dimensions \(N, classes\)"),
    (CrossEntropy(class_axis=0), [f32(4), i64(4)], ShapeError, r"logits must have 2 dimensions \(classes, N\)"),
    (CrossEntropy(class_axis=0), [f32(4, 10), i64(4)], ShapeError, r"target must be i64\[10\], got i64\[4\]"),
    (MaxPool2d(kernel_size=(2, 2)), [f32(1, 2, 5, 7), f32(3)], ShapeError, r"bias must be f32\[2\], got f32\[3\]"),
    (MaxPool2dTaps(layout="CHWN"), [f32(2, 5, 7, 1), f32(1)], ShapeError, r"bias must be f32\[2\], got f32\[1\]"),
    (DropoutMask(), [i64(2)], DTypeError, r"like must be float32"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "operands", "error", "message"), REFUSED, ids=str)
def test_operands_that_do_not_fit(op, operands, error, message):
    with pytest.raises(error, match=message):
        op.infer(*operands)


#: Attributes out of range, and what the message says of them.
ATTRIBUTES = [
    (Conv2d, {"stride": (0, 1)}, "conv2d: stride must be two integers of at least 1"),
    (Conv2d, {"stride": (1,)}, "stride must be two integers"),
    (Conv2d, {"stride": 2}, "stride must be two integers"),
    (Conv2d, {"stride": (True, 1)}, "stride must be two integers"),
    (Conv2d, {"padding": (-1, 0)}, "padding must be two integers of at least 0"),
    (Conv2d, {"dilation": (0, 1)}, "dilation must be two integers of at least 1"),
    (Conv2d, {"groups": 0}, "groups must be an integer of at least 1"),
    (Conv2d, {"groups": True}, "groups must be an integer of at least 1"),
    (Conv2dDirect, {"stride": (0, 1)}, "conv2d_direct: stride must be two integers of at least 1"),
    (Conv2dDirect, {"dilation": (1,)}, "dilation must be two integers of at least 1"),
    (Conv2dDirect, {"groups": 0}, "groups must be an integer of at least 1"),
    (Conv2dDirect, {"activation": "gelu"}, "activation must be one of relu, sigmoid, tanh or None, got 'gelu'"),
    (Conv2dDirectGradWeight, {"kernel_size": (0, 1)}, "kernel_size must be two integers of at least 1"),
    (FlipWeight, {"groups": 0}, "flip_weight: groups must be an integer of at least 1, got 0"),
    (FlipWeight, {"groups": "2"}, "flip_weight: groups must be an integer of at least 1, got '2'"),
    (Dilate2d, {"stride": (1, 0)}, "dilate2d: stride must be two integers of at least 1"),
    (Slice2d, {"stride": (2, 0)}, "slice2d: stride must be two integers of at least 1"),
    (Slice2dGrad, {"input_size": (0, 2)}, "slice2d_grad: input_size must be two integers of at least 1"),
    (Conv2d, {"activation": "gelu"}, "activation must be one of relu, sigmoid, tanh or None, got 'gelu'"),
    (MatMul, {"activation": "gelu"}, "matmul: activation must be one of"),
    (MaxPool2d, {"kernel_size": (0, 2)}, "kernel_size must be two integers of at least 1"),
    (MaxPool2d, {"kernel_size": (2, 2), "padding": (2, 0)}, r"padding \(2, 0\) is more than half of the window"),
    (MaxPool2d, {"activation": "gelu"}, "activation must be one of relu, sigmoid, tanh or None, got 'gelu'"),
    (CrossEntropy, {"class_axis": 2}, "class_axis must be 0 or 1, got 2"),
    (MaxPool2dTaps, {"layout": "NHWC"}, "layout must be one of NCHW, CHWN, got 'NHWC'"),
    (AvgPool2d, {"divisor_override": 0}, "divisor_override must not be 0"),
    (AvgPool2d, {"dilation": (2, 1)}, "average pooling has no dilation"),
    (Im2col, {"kernel_size": (0, 1)}, "im2col: kernel_size must be two integers"),
    (Col2im, {"input_size": (0, 1)}, "input_size must be two integers"),
    (Conv2dGradWeight, {"kernel_size": (0, 1)}, "kernel_size must be two integers"),
    (Conv2dGradInput, {"input_size": (0, 1)}, "input_size must be two integers"),
    (Sum, {"axes": (1, 0)}, "axes must be sorted, distinct and not negative"),
    (Sum, {"axes": (0, 0)}, "axes must be sorted, distinct and not negative"),
    (Sum, {"axes": (-1,)}, "axes must be sorted, distinct and not negative"),
    (Sum, {"axes": 1}, "axes must be a tuple of integers, got 1"),
    (Sum, {"axes": (0.5,)}, r"axes must be a tuple of integers, got \(0.5,\)"),
    (Reshape, {"shape": (-1, -1)}, "one -1"),
    (Reshape, {"shape": (-2,)}, "shape may hold positive dimensions"),
    (Reshape, {"shape": (float("nan"),)}, "shape must be a tuple of integers"),
    (Transpose, {"permutation": None}, "permutation must be a tuple of integers"),
    (Flatten, {"start_dim": 1.0}, "start_dim and end_dim must be a tuple of integers"),
    (Pad2d, {"margins": ((1, -1), (0, 0))}, "margin of rows must be two integers of at least 0"),
    (Pad2d, {"margins": ((1, 1),)}, "margins must be"),
    (DropoutMask, {"p": 1.5}, "dropout probability must lie between 0 and 1, got 1.5"),
    (DropoutMask, {"p": float("nan")}, "dropout probability must lie between 0 and 1, got nan"),
]


@pytest.mark.parametrize(("cls", "attributes", "message"), ATTRIBUTES, ids=str)
def test_attributes_out_of_range(cls, attributes, message):
    with pytest.raises(ShapeError, match=message) as caught:
        cls(**attributes)
    assert caught.value.where == cls.name


def count_by_trying(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Windows by trying every start: those that end inside; with ``ceil_mode`` also one that sticks out a little."""
    padded, reach = size + 2 * padding, dilation * (kernel - 1) + 1
    fits = [start + reach <= padded for start in range(0, padded, stride)]
    sticks = [start + reach < padded + stride and start < size + padding for start in range(0, padded, stride)]
    return sum(sticks if ceil_mode else fits)


def test_the_size_rule_against_counting():
    for size in range(1, 9):
        for kernel in range(1, 4):
            for stride in range(1, 5):
                for padding in range(kernel // 2 + 1):
                    for dilation in (1, 2):
                        for ceil_mode in (False, True):
                            arguments = (size, kernel, stride, padding, dilation, ceil_mode)
                            assert max(window_count(*arguments), 0) == count_by_trying(*arguments), arguments


def test_quiet_attributes_show_only_where_they_differ():
    assert list(Conv2d().attributes()) == ["stride", "padding"]
    shown = Conv2d(groups=2, activation="relu").attributes()
    assert shown == {"stride": (1, 1), "padding": (0, 0), "groups": 2, "activation": "relu"}


def test_two_ops_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two op classes are named 'relu'"):

        class Mine(Op):
            name = "relu"

    assert OPS["relu"] is Relu


def test_an_op_without_shape_rule_says_so():
    with pytest.raises(NotImplementedError, match="Bare has no shape rule"):
        dataclasses.make_dataclass("Bare", [], bases=(Op,), frozen=True)().infer()


class TestTensorType:
    def test_prints_short(self):
        assert str(f32(64, 1, 28, 28)) == "f32[64,1,28,28]"
        assert str(i64()) == "i64[]"

    def test_sizes(self):
        assert (f64(2, 3).rank, f64(2, 3).size, f64(2, 3).itemsize, f64(2, 3).nbytes) == (2, 6, 8, 48)
        assert f32().nbytes == 4

    def test_numpys_integers_and_types_are_taken(self):
        made = TensorType((np.int64(2), np.uint8(3)), np.dtype("float64"))
        assert made == f64(2, 3)
        assert all(type(dim) is int for dim in made.shape)
        assert TensorType([2], np.float32) == f32(2)

    @pytest.mark.parametrize("shape", [(0,), (-1, 2), (1.0,), (None,), (True,), "23", 5, (float("inf"),)], ids=str)
    def test_shapes_that_are_none(self, shape):
        with pytest.raises(ShapeError):
            TensorType(shape)

    @pytest.mark.parametrize("dtype", ["float16", "complex64", None, int, "f4"], ids=str)
    def test_element_types_that_are_none(self, dtype):
        with pytest.raises(DTypeError, match="unknown element type"):
            TensorType((1,), dtype)


class TestAveragePoolDivisor:
    @pytest.mark.parametrize("counted", [True, False])
    @pytest.mark.parametrize("ceil_mode", [True, False])
    def test_counts_the_cells_under_the_window(self, counted, ceil_mode):
        op = AvgPool2d((2, 3), (1, 1), kernel_size=(3, 2), ceil_mode=ceil_mode, count_include_pad=counted)
        rows, columns = op.output_size((5, 6), (3, 2), ceil_mode)
        cells = np.zeros((9, 10), bool)
        inner = cells[1:6, 1:7] if not counted else cells[:7, :8]
        inner[...] = True
        for i in range(rows):
            for j in range(columns):
                window = cells[i * 2 : i * 2 + 3, j * 3 : j * 3 + 2]
                assert op.divisor((5, 6), i, j) == window.sum()
