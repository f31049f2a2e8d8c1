"""Layers and their functions: recorded ops, arguments that can never be valid, losses."""

import numpy as np
import pytest

from convir.frontend import nn, trace
from convir.ir import DTypeError, ExecutionError, ShapeError, TensorType, TraceError, UnsupportedError, verify

F = nn.functional


def body(model, *specs):
    graph = trace(model, *specs)
    verify(graph)
    return [line.split("   #")[0].strip() for line in str(graph).splitlines()[1:-1]]


def test_convolution_arguments():
    layer = nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2), (1, 2), 2, False)
    assert body(layer, (1, 4, 9, 9)) == [
        "conv2d = conv2d(x, weight, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2) : f32[1,6,5,5]".replace(
            "(x,", "(input,"
        )
    ]
    assert layer.weight.shape == (6, 2, 3, 5)
    assert layer.bias is None


def test_same_padding_that_a_convolution_can_say():
    assert body(nn.Conv2d(1, 1, 3, padding="same", dilation=2), (1, 1, 5, 5)) == [
        "conv2d = conv2d(input, weight, bias, stride=(1, 1), padding=(2, 2), dilation=(2, 2)) : f32[1,1,5,5]"
    ]
    assert "padding=(0, 0)" in body(nn.Conv2d(1, 1, 3, padding="valid"), (1, 1, 5, 5))[0]


def test_same_padding_of_an_even_kernel_pads_one_more_at_the_end():
    assert body(nn.Conv2d(1, 1, (4, 3), padding="same"), (1, 1, 5, 5)) == [
        "pad2d = pad2d(input, margins=((1, 2), (1, 1))) : f32[1,1,8,7]",
        "conv2d = conv2d(pad2d, weight, bias, stride=(1, 1), padding=(0, 0)) : f32[1,1,5,5]",
    ]
    model = nn.Sequential({"conv": nn.Conv2d(1, 1, 2, padding="same")})
    assert [node.name for node in trace(model, (1, 1, 5, 5)).nodes] == ["pad2d", "conv"]


def test_a_constant_filter():
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "float32").reshape(1, 1, 3, 3)
    assert body(lambda x: F.conv2d(x, sobel, padding="same"), (1, 1, 5, 5))[1] == (
        "conv2d = conv2d(x, constant, stride=(1, 1), padding=(1, 1)) : f32[1,1,5,5]"
    )


def test_linear_is_one_node():
    assert body(nn.Linear(3, 2), (7, 5, 3)) == ["matmul = matmul(input, weight, bias, transpose_b=True) : f32[7,5,2]"]
    assert body(nn.Linear(3, 2, bias=False), (5, 3)) == ["matmul = matmul(input, weight, transpose_b=True) : f32[5,2]"]
    assert [line.split(" = ")[1] for line in body(nn.Linear(3, 2), (3,))] == [
        "reshape(input, shape=(1, -1)) : f32[1,3]",
        "matmul(reshape, weight, bias, transpose_b=True) : f32[1,2]",
        "reshape(matmul, shape=(-1,)) : f32[2]",
    ]


def test_pooling_arguments():
    assert body(nn.MaxPool2d(3, 2, 1, 1, ceil_mode=True), (1, 1, 6, 6)) == [
        "max_pool2d = max_pool2d(input, stride=(2, 2), padding=(1, 1), kernel_size=(3, 3), ceil_mode=True) "
        ": f32[1,1,4,4]"
    ]
    assert body(lambda x: F.max_pool2d(x, (2, 3), None, 0, 2), (1, 1, 9, 9)) == [
        "max_pool2d = max_pool2d(x, stride=(2, 3), padding=(0, 0), dilation=(2, 2), kernel_size=(2, 3)) : f32[1,1,4,2]"
    ]
    assert body(nn.AvgPool2d(2, 1, 1, False, False, 3), (1, 1, 4, 4)) == [
        "avg_pool2d = avg_pool2d(input, stride=(1, 1), padding=(1, 1), kernel_size=(2, 2), count_include_pad=False, "
        "divisor_override=3) : f32[1,1,5,5]"
    ]


@pytest.mark.parametrize(
    ("layer", "op"),
    [(nn.ReLU(True), "relu"), (nn.Sigmoid(), "sigmoid"), (nn.Tanh(), "tanh")],
)
def test_activations(layer, op):
    assert body(layer, (2, 3)) == [f"{op} = {op}(input) : f32[2,3]"]
    assert body(getattr(F, op), (2, 3)) == [f"{op} = {op}(input) : f32[2,3]"]


def test_flatten_dropout_identity():
    assert body(nn.Flatten(), (2, 3, 4)) == ["flatten = flatten(input, start_dim=1, end_dim=-1) : f32[2,12]"]
    assert body(F.flatten, (2, 3, 4)) == ["flatten = flatten(input, start_dim=0, end_dim=-1) : f32[24]"]
    assert body(nn.Identity(54, unused=True), (2,)) == []
    assert body(lambda x: F.dropout(x, training=False), (2,)) == []
    assert body(lambda x: F.dropout(x), (2,)) == [
        "dropout_mask = dropout_mask(x, p=0.5) : f32[2]",
        "mul = mul(x, dropout_mask) : f32[2]",
    ]


def test_losses():
    assert body(F.cross_entropy, (4, 10), TensorType((4,), "int64")) == [
        "cross_entropy = cross_entropy(input, target) : f32[]"
    ]
    assert body(F.mse_loss, (4, 10), (4, 10)) == [
        "sub = sub(input, target) : f32[4,10]",
        "mul = mul(sub, sub) : f32[4,10]",
        "mean = mean(mul, axes=(0, 1)) : f32[]",
    ]


@pytest.mark.parametrize(
    ("function", "specs", "error", "message"),
    [
        (F.cross_entropy, [(4, 10), (4,)], DTypeError, "target holds class indices, int64 or int32"),
        (F.cross_entropy, [(4, 10), TensorType((5,), "int64")], ShapeError, r"target must be i64\[4\]"),
        (lambda a, b: F.cross_entropy(a, b, reduction="sum"), [(4, 10), (4,)], UnsupportedError, "'mean'.*got 'sum'"),
        (lambda a, b: F.mse_loss(a, b, reduction="none"), [(4,), (4,)], UnsupportedError, "'mean'.*got 'none'"),
        (F.mse_loss, [(4, 1), (4,)], ShapeError, r"input \[4, 1\] and target \[4\] must have one shape"),
        (lambda x: F.max_pool2d(x, 2, padding=2), [(1, 1, 8, 8)], ShapeError, r"padding \(2, 2\) is more than half"),
        (
            lambda x: F.max_pool2d(x, 0),
            [(1, 1, 8, 8)],
            ShapeError,
            r"max_pool2d .*: kernel_size must be .* got \(0, 0\)",
        ),
        (lambda x: F.max_pool2d(x, 2, return_indices=True), [(1, 1, 8, 8)], UnsupportedError, "return_indices=False"),
        (lambda x: F.conv2d(x, x, stride=0), [(1, 1, 8, 8)], ShapeError, "stride must be two integers of at least 1"),
        (lambda x: F.conv2d(x, x, padding="sam"), [(1, 1, 8, 8)], UnsupportedError, "'same' or 'valid', got 'sam'"),
        (lambda x: F.conv2d(x, x.sum()), [(1, 1, 8, 8)], ShapeError, "weight must have 4 dimensions"),
        (lambda x: F.conv2d(x, [1.0]), [(1, 1, 8, 8)], TraceError, "conv2d .*takes tensors and NumPy arrays, got list"),
        (lambda x: F.relu(3), [(1,)], TraceError, r"relu .*got 3 of type int; make a constant with np.asarray"),
        (lambda x: F.linear(x, None), [(1, 1)], TraceError, "matmul .*got None"),
        (lambda x: F.dropout(x, 1.5), [(1,)], ShapeError, "dropout probability must lie between 0 and 1, got 1.5"),
        (nn.Conv2d(1, 1, 9), [(1, 1, 8, 8)], ShapeError, "kernel 9x9 is larger than the padded input 8x8"),
        (nn.Conv2d(1, 1, 3), [(1, 8, 8)], ShapeError, r"input must have 4 dimensions \(N, C, H, W\)"),
        (nn.Linear(3, 2), [(1, 4)], ShapeError, r"inner dimensions differ: 4 of f32\[1,4\] against 3"),
    ],
)
def test_operands_that_do_not_fit(function, specs, error, message):
    with pytest.raises(error, match=message) as caught:
        trace(function, *specs)
    if getattr(function, "__name__", "") == "<lambda>":
        assert "test_layers.py:" in caught.value.where


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(4, 6, 3, groups=3), ShapeError, r"Conv2d .*: groups=3 must divide both in_channels=4"),
        (lambda: nn.Conv2d(6, 4, 3, groups=3), ShapeError, "groups=3 must divide"),
        (lambda: nn.Conv2d(1, 1, 3, groups=0), ShapeError, "groups must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(0, 1, 3), ShapeError, "in_channels must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(1, 2.5, 3), ShapeError, "out_channels must be an integer of at least 1, got 2.5"),
        (lambda: nn.Conv2d(1, 1, 0), ShapeError, r"kernel_size must be two integers of at least 1, got \(0, 0\)"),
        (lambda: nn.Conv2d(1, 1, 2.5), ShapeError, "kernel_size must be an integer or a pair of integers, got 2.5"),
        (lambda: nn.Conv2d(1, 1, (1, 2, 3)), ShapeError, r"pair of integers, got \(1, 2, 3\)"),
        (lambda: nn.Conv2d(1, 1, True), ShapeError, "got True"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), ShapeError, r"stride must be two integers of at least 1, got \(0, 0\)"),
        (lambda: nn.Conv2d(1, 1, 3, stride=-1), ShapeError, "stride"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), ShapeError, "padding must be two integers of at least 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding=float("nan")), ShapeError, "padding must be an integer or a pair.*nan"),
        (lambda: nn.Conv2d(1, 1, 3, dilation=0), ShapeError, "dilation"),
        (lambda: nn.Conv2d(1, 1, 3, 2, "same"), ShapeError, "padding='same' is for stride 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="valid "), UnsupportedError, "'same' or 'valid', got 'valid '"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"), UnsupportedError, "padding_mode can only be 'zeros'"),
        (lambda: nn.Conv2d(1, 1, 3, dtype="int64"), DTypeError, "dtype must be float32 or float64, got int64"),
        (lambda: nn.Linear(0, 1), ShapeError, "Linear .*in_features must be"),
        (lambda: nn.Linear(1, "3"), ShapeError, "out_features must be an integer of at least 1, got '3'"),
        (lambda: nn.MaxPool2d(2, padding=2), ShapeError, r"MaxPool2d .*padding \(2, 2\) is more than half"),
        (lambda: nn.MaxPool2d(2, 0), ShapeError, "stride"),
        (lambda: nn.MaxPool2d(0), ShapeError, r"MaxPool2d .*: kernel_size must be two integers of at least 1, got \(0"),
        (lambda: nn.AvgPool2d(-1), ShapeError, r"AvgPool2d .*: kernel_size must be .* at least 1, got \(-1"),
        (lambda: nn.MaxPool2d(2, return_indices=True), UnsupportedError, "MaxPool2d .*return_indices=False"),
        (lambda: nn.AvgPool2d(3, padding=2), ShapeError, "AvgPool2d .*more than half"),
        (lambda: nn.AvgPool2d(3, divisor_override=0), ShapeError, "divisor_override must not be 0"),
        (lambda: nn.AvgPool2d(3, divisor_override=1.5), ShapeError, "divisor_override must be an integer"),
        (lambda: nn.Flatten(1.5), ShapeError, "Flatten .*start_dim must be an integer, got 1.5"),
        (lambda: nn.Dropout(-0.1), ShapeError, "Dropout .*between 0 and 1, got -0.1"),
        (lambda: nn.Dropout(float("nan")), ShapeError, "got nan"),
        (lambda: nn.Dropout("half"), ShapeError, "p must be a number between 0 and 1, got 'half'"),
    ],
)  # fmt: skip
def test_arguments_that_can_never_be_valid(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "test_layers.py:" in caught.value.where


def test_functions_outside_of_a_trace():
    with pytest.raises(ExecutionError, match=r"relu \(test_layers.py:\d+\): only records a node .*convir.compile"):
        F.relu(np.ones(3))


def test_numpy_integers_are_integers():
    three = np.int64(3)
    layer = nn.Conv2d(three, three, [three, 1])
    assert repr(layer) == "Conv2d(3, 3, kernel_size=(3, 1), stride=(1, 1))"
