"""Operands for every op, at points where it is smooth: for gradients and kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from convir.ir import Builder, Op, TensorType
from convir.ir.ops import (
    CHWN,
    Add,
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
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
    DepthToSpace,
    Dilate2d,
    Div,
    DropoutMask,
    Exp,
    Flatten,
    FlipWeight,
    Im2col,
    Literal,
    Log,
    MatMul,
    Max,
    MaxGrad,
    Maxout,
    MaxoutGrad,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    Mean,
    Mul,
    Neg,
    Pad2d,
    Region,
    Relu,
    ReluGrad,
    Reshape,
    Sigmoid,
    SigmoidGrad,
    Slice2d,
    Slice2dGrad,
    SpaceToDepth,
    Sqrt,
    Sub,
    Sum,
    Tanh,
    TanhGrad,
    ToeplitzWeight,
    ToeplitzWeightGrad,
    Transpose,
    WinogradInput,
    WinogradOutput,
    WinogradOutputGrad,
    WinogradWeight,
    WinogradWeightGrad,
)
from support.conv_samples import CONV_SAMPLES

Sample = tuple[Op, Sequence[np.ndarray]]
_rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(_rng.standard_normal(shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(_rng.uniform(0.5, 2.0, shape))


def distinct(*shape: int) -> np.ndarray:
    """No two elements near each other, none near zero: maxima and signs are stable."""
    size = int(np.prod(shape))
    return np.asarray((_rng.permutation(size).reshape(shape) - size // 2 + 0.5) / 2)


_BINARY = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (4, 1)), ((), (2,)), ((1, 3), (2, 3)), ((), ())]
_REDUCTIONS = [((0,), False), ((1, 2), True), ((0, 2), False), ((), False), ((0, 1, 2), False), ((0, 1, 2), True)]
_POOL = {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 1)}


def _binary(op: Op, make: Callable[..., np.ndarray] = normal) -> list[Sample]:
    return [(op, [make(*a), make(*b)]) for a, b in _BINARY]


def _unary(op: Op, make: Callable[..., np.ndarray] = normal) -> list[Sample]:
    return [(op, [make(2, 3)]), (op, [make()]), (op, [make(1, 1, 4)])]


def _reductions(cls: type, make: Callable[..., np.ndarray] = normal) -> list[Sample]:
    return [(cls(axes, keep), [make(2, 3, 2)]) for axes, keep in _REDUCTIONS] + [(cls(()), [make()])]


def _max_grads() -> list[Sample]:
    found = []
    for axes, keep in _REDUCTIONS:
        x = distinct(2, 3, 2)
        y = x.max(axis=axes, keepdims=keep)
        found.append((MaxGrad(axes, keep), [normal(*y.shape), x, y]))
    return found


def _matmuls() -> list[Sample]:
    found: list[Sample] = []
    for transpose_a in (False, True):
        for transpose_b in (False, True):
            a = normal(4, 3) if transpose_a else normal(3, 4)
            b = normal(2, 4) if transpose_b else normal(4, 2)
            op = MatMul(transpose_a, transpose_b)
            found += [(op, [a, b]), (op, [a, b, normal(2)])]
            stacked = [np.stack([a, a + 1]), np.stack([b, b - 1])]
            found += [(op, [stacked[0], b]), (op, [a, stacked[1], normal(3, 1)]), (op, stacked)]
    return [
        *found,
        *((MatMul(activation=name), [normal(2, 3), normal(3, 2), normal(2)]) for name in ("relu", "sigmoid", "tanh")),
        (MatMul(), [normal(1, 1), normal(1, 1), normal()]),
    ]


def _convs() -> list[Sample]:
    x, w, b = normal(2, 4, 5, 4), normal(4, 2, 3, 2), normal(4)
    options = {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "groups": 2}
    return [
        (Conv2d(), [x, normal(3, 4, 2, 2)]),
        (Conv2d(**options), [x, w, b]),
        (Conv2d(**options, activation="sigmoid"), [x, w, b]),
        (Conv2d(activation="tanh"), [normal(1, 1, 1, 1), normal(2, 1, 1, 1)]),
    ]


def _conv_grads() -> list[Sample]:
    options = {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "groups": 2}
    dy = normal(2, 4, 3, 4)
    return [
        (Conv2dGradWeight(**options, kernel_size=(3, 2)), [dy, normal(2, 4, 5, 4)]),
        (Conv2dGradInput(**options, input_size=(5, 4)), [dy, normal(4, 2, 3, 2)]),
        (Conv2dGradWeight(stride=(3, 3), kernel_size=(2, 2)), [normal(1, 2, 1, 2), normal(1, 1, 4, 6)]),
        (Conv2dGradInput(stride=(3, 3), input_size=(4, 6)), [normal(1, 2, 1, 2), normal(2, 1, 2, 2)]),
    ]


def _directs() -> list[Sample]:
    options = {"stride": (2, 1), "dilation": (1, 2), "groups": 2}
    return [
        (Conv2dDirect(), [normal(2, 5, 4, 3), normal(3, 2, 3, 2), normal(3)]),
        (Conv2dDirect(**options), [normal(4, 6, 5, 2), normal(6, 2, 3, 2)]),
        (Conv2dDirect((3, 2), activation="tanh"), [normal(1, 6, 5, 1), normal(2, 1, 2, 2), normal(2)]),
    ]


def _direct_grads() -> list[Sample]:
    options = {"stride": (2, 1), "dilation": (1, 2), "groups": 2}
    return [
        (Conv2dDirectGradWeight(kernel_size=(3, 2)), [normal(3, 3, 3, 3), normal(2, 5, 4, 3)]),
        (Conv2dDirectGradWeight(**options, kernel_size=(3, 2)), [normal(6, 2, 3, 2), normal(4, 6, 5, 2)]),
    ]


def _region(*steps: tuple[Op, list[int]], inputs: Sequence[tuple[int, ...]]) -> Region:
    """A region of ops, each with the places of its operands among inputs and earlier results."""
    builder = Builder("region")
    values = [builder.input(f"x{place}", TensorType(shape, "float64")) for place, shape in enumerate(inputs)]
    for op, places in steps:
        values.append(builder.emit(op, *(values[place] for place in places)))
    return Region(builder.finish([values[-1]], {}))


def _regions() -> list[Sample]:
    image, weight = (2, 7, 6, 3), (3, 2, 2, 3)
    pooled = MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout=CHWN)
    conv, product = (3, 6, 4, 3), (4, 6)
    shapes = {
        "conv and pool": [image, weight, (3,)],
        "residual": [image, weight, conv],
        "product": [(4, 5), (5, 6), product],
    }
    regions = [
        _region((Conv2dDirect(), [0, 1, 2]), (pooled, [3]), inputs=shapes["conv and pool"]),
        _region((Conv2dDirect(), [0, 1]), (Add(), [3, 2]), (Relu(), [4]), inputs=shapes["residual"]),
        _region((MatMul(), [0, 1]), (Reshape((2, 2, 2, 3)), [2]), (Exp(), [3]), inputs=shapes["product"][:2]),
        _region((MatMul(), [0, 1]), (ReluGrad(), [3, 2]), inputs=shapes["product"]),
        _region((Mul(), [0, 1]), (Neg(), [2]), (Sub(), [3, 0]), inputs=[(3, 5), (3, 5)]),
    ]
    return [(op, [normal(*value.type.shape) for value in op.body.inputs]) for op in regions]


def _pools(cls: type, **options: object) -> list[Sample]:
    image = distinct(4, 5, 2, 2) if options else distinct(2, 2, 4, 5)
    return [(cls(**_POOL, **options), [image]), (cls(kernel_size=(2, 2), ceil_mode=True, **options), [image])]


def _max_pools(cls: type, **options: object) -> list[Sample]:
    """Those that average pooling has too, and an epilogue."""
    image = distinct(4, 5, 2, 2) if options else distinct(2, 4, 5, 2)
    bias = np.array([0.1, -0.1, 0.05, 0.0])
    return [
        *_pools(cls, **options),
        (cls(**_POOL, **options), [image, bias]),
        *((cls(**_POOL, **options, activation=name), [image, bias]) for name in ("relu", "sigmoid", "tanh")),
        (cls(kernel_size=(2, 2), activation="relu", **options), [image]),
    ]


def _avg_pool_grads(cls: type, **options: object) -> list[Sample]:
    dy = normal(2, 3, 5, 2) if options else normal(2, 2, 3, 5)
    return [(cls(**_POOL, input_size=(4, 5), count_include_pad=False, **options), [dy])]


def _max_pool_grads(cls: type) -> list[Sample]:
    x = distinct(1, 1, 4, 4)
    y = x.reshape(2, 2, 2, 2).max(axis=(1, 3)).reshape(1, 1, 2, 2)
    op, grad = cls(kernel_size=(2, 2), stride=(2, 2)), normal(1, 1, 2, 2)
    overlapping = cls(kernel_size=(2, 2), padding=(1, 0))
    return [(op, [grad, x, y]), (op, [grad, x]), (overlapping, [normal(1, 1, 5, 3), x])]


_TARGET = np.array([0, 2, 2])
_CUBE = normal(2, 2, 2, 2)

#: Op class -> the op and its operands, several times.
SAMPLES: dict[type[Op], list[Sample]] = {
    Add: _binary(Add()),
    Sub: _binary(Sub()),
    Mul: _binary(Mul()),
    Div: _binary(Div(), positive),
    Neg: _unary(Neg()),
    Exp: _unary(Exp()),
    Log: _unary(Log(), positive),
    Sqrt: _unary(Sqrt(), positive),
    Region: _regions(),
    Relu: _unary(Relu(), distinct),
    Sigmoid: _unary(Sigmoid()),
    Tanh: _unary(Tanh()),
    ReluGrad: _binary(ReluGrad(), distinct)[:1],
    SigmoidGrad: _binary(SigmoidGrad())[:1],
    TanhGrad: _binary(TanhGrad())[:1],
    Sum: _reductions(Sum),
    Mean: _reductions(Mean),
    Max: _reductions(Max, distinct),
    MaxGrad: _max_grads(),
    MatMul: _matmuls(),
    Conv2d: _convs(),
    Conv2dGradWeight: _conv_grads()[::2],
    Conv2dGradInput: _conv_grads()[1::2],
    Conv2dDirect: _directs(),
    Conv2dDirectGradWeight: _direct_grads(),
    **CONV_SAMPLES,
    FlipWeight: [(FlipWeight(), [normal(3, 2, 2, 3)]), (FlipWeight(2), [normal(4, 3, 1, 2)])],
    DepthToSpace: [(DepthToSpace((3, 2)), [normal(12, 2, 2, 3)])],
    SpaceToDepth: [(SpaceToDepth((3, 2)), [normal(2, 6, 4, 3)])],
    ToeplitzWeight: [
        (ToeplitzWeight((3, 2), (2, 1)), [normal(2, 3, 3, 2)]),
        (ToeplitzWeight((2, 1)), [normal(1, 1, 1, 1)]),
    ],
    ToeplitzWeightGrad: [
        (ToeplitzWeightGrad((3, 2), (2, 1)), [normal(12, 2, 7, 3)]),
        (ToeplitzWeightGrad(), [normal(2, 1, 1, 1)]),
    ],
    Dilate2d: [(Dilate2d((2, 3)), [normal(2, 3, 2, 2)]), (Dilate2d((1, 2)), [normal(1, 1, 3, 1)])],
    Im2col: [(Im2col((2, 3), (2, 1), (1, 2)), [normal(2, 5, 7, 2)])],
    Col2im: [(Col2im((2, 3), (2, 1), (1, 2), (5, 7)), [normal(12, 12)])],
    MaxPool2d: [*_max_pools(MaxPool2d), (MaxPool2d(dilation=(2, 1), kernel_size=(2, 2)), [distinct(1, 2, 4, 3)])],
    WinogradInput: [
        (WinogradInput((2, 4), (3, 1)), [normal(2, 6, 8, 3)]),
        (WinogradInput((2, 4), (3, 2), stride=(2, 3)), [normal(2, 9, 11, 3)]),
        (WinogradInput((4, 2), (3, 3), upsampling=(2, 1), phase=(1, 0)), [normal(2, 5, 4, 3)]),
    ],
    WinogradOutput: [
        (WinogradOutput((2, 2), (3, 3), (2, 1), "relu"), [normal(16, 2, 6), normal(2)]),
        (WinogradOutput((4, 2), (3, 3), (1, 2)), [normal(24, 1, 2)]),
        (WinogradOutput((4, 2), (3, 3), (1, 2), stride=(2, 1)), [normal(36, 1, 2)]),
    ],
    WinogradOutputGrad: [(WinogradOutputGrad((2, 4), (3, 2)), [normal(2, 4, 4, 3)])],
    WinogradWeight: [
        (WinogradWeight((4, 2)), [normal(2, 3, 3, 3)]),
        (WinogradWeight(kernel_size=(5, 1)), [normal(1, 2, 5, 1)]),
    ],
    WinogradWeightGrad: [(WinogradWeightGrad((4, 2)), [normal(24, 2, 3)])],
    Maxout: [
        (Maxout(2), [distinct(4, 3, 2)]),
        (Maxout(4, "relu"), [distinct(8, 3), normal(2)]),
        (Maxout(1, "tanh"), [distinct(3, 2)]),
    ],
    MaxoutGrad: [(MaxoutGrad(2), [normal(2, 3, 2), distinct(4, 3, 2)])],
    MaxPool2dTaps: [*_max_pools(MaxPool2dTaps), *_max_pools(MaxPool2dTaps, layout=CHWN)],
    MaxPool2dGrad: _max_pool_grads(MaxPool2dGrad),
    MaxPool2dGradTaps: _max_pool_grads(MaxPool2dGradTaps),
    AvgPool2d: [*_pools(AvgPool2d), *_pools(AvgPool2d, divisor_override=3, count_include_pad=False)],
    AvgPool2dTaps: [*_pools(AvgPool2dTaps), *_pools(AvgPool2dTaps, layout=CHWN)],
    AvgPool2dGrad: _avg_pool_grads(AvgPool2dGrad),
    AvgPool2dGradTaps: [*_avg_pool_grads(AvgPool2dGradTaps), *_avg_pool_grads(AvgPool2dGradTaps, layout=CHWN)],
    Reshape: [(Reshape((3, -1)), [normal(2, 3, 2)]), (Reshape((0, 6)), [normal(2, 3, 2)]), (Reshape(()), [normal(1)])],
    Flatten: [(Flatten(), [normal(2, 3, 2)]), (Flatten(0), [normal()]), (Flatten(0, 1), [normal(2, 3, 2)])],
    Transpose: [(Transpose((2, 0, 1)), [normal(2, 3, 4)]), (Transpose(()), [normal()])],
    BroadcastTo: [(BroadcastTo((2, 4, 3)), [normal(4, 1)]), (BroadcastTo((2, 3)), [normal()])],
    Pad2d: [
        (Pad2d(((1, 2), (0, 3)), value=1.5), [normal(1, 2, 2, 3)]),
        (Pad2d(((1, 0), (0, 1)), CHWN), [_CUBE]),
    ],
    Crop2d: [(Crop2d(((1, 2), (0, 1))), [normal(1, 2, 4, 3)]), (Crop2d(((1, 0), (0, 1)), CHWN), [_CUBE])],
    Slice2d: [(Slice2d((2, 3)), [normal(2, 4, 4, 2)]), (Slice2d((1, 2)), [normal(1, 2, 1, 3)])],
    Slice2dGrad: [
        (Slice2dGrad((2, 3), (4, 4)), [normal(2, 2, 2, 2)]),
        (Slice2dGrad((1, 2), (2, 1)), [normal(1, 2, 1, 3)]),
    ],
    CrossEntropy: [
        (CrossEntropy(), [normal(3, 4), _TARGET]),
        (CrossEntropy(), [normal(3, 4), _TARGET.astype("i4")]),
        (CrossEntropy(class_axis=0), [normal(4, 3), _TARGET]),
        (CrossEntropy(class_axis=0), [normal(4, 3), _TARGET.astype("i4")]),
    ],
    CrossEntropyGrad: [
        (CrossEntropyGrad(), [normal(), normal(3, 4), _TARGET]),
        (CrossEntropyGrad(class_axis=0), [normal(), normal(4, 3), _TARGET]),
    ],
    Constant: [(Constant(Literal(normal(2, 3))), [])],
    DropoutMask: [(DropoutMask(0.5), [normal(4, 5)])],
}
