"""Ops on shapes that leave something over for every vector width and block, for each op that has loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from hypothesis import strategies as st

from convir.ir import Op, TensorType, ops
from convir.ir.ops import CHWN, NCHW
from convir.runtime import evaluate
from support.gradient_samples import SAMPLES

Case = tuple[Op, list[np.ndarray]]
Draw = st.DrawFn

#: Batches: below and around the widest vector and its blocks.
batches = st.sampled_from([1, 2, 3, 5, 8, 9, 16, 17, 31, 67])
few = st.integers(1, 5)
activations = st.sampled_from([None, "relu", "sigmoid", "tanh"])


def samples_of(op_type: type[Op], dtype: str) -> list[Case]:
    """The shared samples of an op in an element type."""
    return [(op, [as_dtype(array, dtype) for array in arrays]) for op, arrays in SAMPLES[op_type]]


def as_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    """Floating-point arrays in ``dtype``; class indices as they are."""
    return array.astype(dtype) if array.dtype.kind == "f" else array


def types_of(arrays: list[np.ndarray]) -> list[TensorType]:
    """Their tensor types."""
    return [TensorType(array.shape, array.dtype.name) for array in arrays]


@st.composite
def loop_cases(draw: Draw, op_type: type[Op], dtype: str = "float64") -> Case:
    """An op of this class and operands."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def array(*shape: int) -> np.ndarray:
        return np.array(rng.standard_normal(shape), dtype)

    op, arrays = _MAKERS[op_type](draw, op_type, array)
    if op_type in (ops.Log, ops.Sqrt, ops.Div):
        arrays = [np.abs(each) + np.asarray(0.5, dtype) for each in arrays]
    return op, arrays


Array = Callable[..., np.ndarray]


def _unary(draw: Draw, op_type: type[Op], array: Array) -> Case:
    return op_type(), [array(draw(few), draw(batches))]


def _same(draw: Draw, op_type: type[Op], array: Array) -> Case:
    shape = draw(few), draw(batches)
    return op_type(), [array(*shape), array(*shape)]


def _binary(draw: Draw, op_type: type[Op], array: Array) -> Case:
    shape = (draw(few), draw(few), draw(batches))
    other = tuple(1 if draw(st.booleans()) else dim for dim in shape)[draw(st.integers(0, 2)) :]
    pair = [array(*shape), array(*other)]
    return op_type(), pair if draw(st.booleans()) else pair[::-1]


def _reduction(draw: Draw, op_type: type[Op], array: Array) -> Case:
    axes = tuple(axis for axis in range(4) if draw(st.booleans()))
    shape = (draw(few), draw(few), draw(few), draw(batches))
    order = draw(st.permutations(range(4)))
    return op_type(axes, draw(st.booleans())), [array(*(shape[axis] for axis in order))]


def _matmul(draw: Draw, op_type: type[Op], array: Array) -> Case:
    rows, inner, columns = draw(batches), draw(batches), draw(batches)
    stack = (draw(st.integers(1, 3)),) if draw(st.booleans()) else ()
    transposed = draw(st.booleans()), draw(st.booleans())
    a = (inner, rows) if transposed[0] else (rows, inner)
    b = (columns, inner) if transposed[1] else (inner, columns)
    bias = draw(st.sampled_from([None, (columns,), (rows, 1), ()]))
    op = op_type(*transposed, activation=draw(activations))
    return op, [array(*stack, *a), array(*b), *([] if bias is None else [array(*bias)])]


def _window(draw: Draw) -> dict[str, tuple[int, int]]:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    return {"stride": draw(pair), "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))}


def _conv(draw: Draw, op_type: type[Op], array: Array) -> Case:
    window, kernel, groups = _window(draw), draw(st.tuples(few, st.integers(1, 3))), draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 3, 7]))
    size = [ops.extent(kernel[a], window["dilation"][a]) + draw(st.integers(0, 5)) for a in (0, 1)]
    image = array(channels, *size, draw(batches))
    weight = array(filters, channels // groups, *kernel)
    op = ops.Conv2dDirect(**window, groups=groups, activation=draw(activations))
    if op_type is ops.Conv2dDirect:
        return op, [image, weight, *([array(filters)] if draw(st.booleans()) else [])]
    (result,) = op.infer(*types_of([image, weight]))
    return op_type(**window, groups=groups, kernel_size=kernel), [array(*result.shape), image]


def _depthwise(draw: Draw, op_type: type[Op], array: Array) -> Case:
    window, kernel = _window(draw), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    channels, multiplier = draw(few), draw(st.sampled_from([1, 2, 3]))
    if op_type is ops.DepthwiseConv2dGradWeight:
        window["stride"] = (1, 1)
    op = ops.DepthwiseConv2d(**window, activation=draw(activations))
    result = array(channels * multiplier, draw(few), draw(few), draw(batches))
    image = array(*op.image(channels, types_of([result])[0], kernel).shape)
    if op_type is ops.DepthwiseConv2dGradWeight:
        return op_type(**window, kernel_size=kernel), [result, image]
    bias = [array(channels * multiplier)] if draw(st.booleans()) else []
    return op, [image, array(channels * multiplier, 1, *kernel), *bias]


def _shifted(draw: Draw, op_type: type[Op], array: Array) -> Case:
    kernel, groups = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 7]))
    shared = {"dilation": _window(draw)["dilation"], "groups": groups, "rows": draw(few)}
    op = ops.ShiftedMatMul(**shared, activation=draw(activations))
    result = array(filters, draw(few), draw(few), draw(batches))
    image = array(*op.image(channels, types_of([result])[0], kernel).shape)
    if op_type is ops.ShiftedMatMulGradWeight:
        return op_type(**shared, kernel_size=kernel), [result, image]
    bias = [array(filters)] if draw(st.booleans()) else []
    return op, [image, array(*kernel, filters, channels // groups), *bias]


def _im2col_matmul(draw: Draw, op_type: type[Op], array: Array) -> Case:
    op, (image, weight, *bias) = _conv(draw, ops.Conv2dDirect, array)
    window = {"stride": op.stride, "dilation": op.dilation, "groups": op.groups}
    channels, columns = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 7, 8, 17, 40, 300]))
    return op_type(**window, channels=channels, columns=columns, activation=op.activation), [image, weight, *bias]


def _flip(draw: Draw, op_type: type[Op], array: Array) -> Case:
    groups = draw(st.integers(1, 3))
    return op_type(groups), [array(groups * draw(few), draw(few), draw(few), draw(few))]


def _strided(draw: Draw, op_type: type[Op], array: Array) -> Case:
    return op_type(_window(draw)["stride"]), [array(draw(few), draw(few), draw(few), draw(batches))]


def _slice_grad(draw: Draw, op_type: type[Op], array: Array) -> Case:
    stride, size = _window(draw)["stride"], (draw(few), draw(few))
    rows, columns = (-(-size[axis] // stride[axis]) for axis in (0, 1))
    return op_type(stride, size), [array(draw(few), rows, columns, draw(batches))]


def _pool(draw: Draw, op_type: type[Op], array: Array) -> Case:
    """Windows inside the image; some windows have equal maxima."""
    layout, kernel = draw(st.sampled_from([NCHW, CHWN])), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    window = {**_window(draw), "kernel_size": kernel}
    if op_type is ops.AvgPool2dTaps:
        window["dilation"] = (1, 1)
    if op_type is ops.MaxPool2dGradTaps:
        window["stride"] = tuple(ops.extent(kernel[a], window["dilation"][a]) + draw(st.integers(0, 1)) for a in (0, 1))
    rows, columns = (ops.extent(kernel[a], window["dilation"][a]) + draw(st.integers(0, 5)) for a in (0, 1))
    shapes = {NCHW: (draw(few), draw(few), rows, columns), CHWN: (draw(few), rows, columns, draw(batches))}
    image = np.round(array(*shapes[layout]), 1)
    if op_type is ops.AvgPool2dTaps:
        return op_type(**window, layout=layout, divisor_override=draw(st.sampled_from([None, 3, -2]))), [image]
    if op_type is ops.MaxPool2dTaps:
        bias = [array(image.shape[layout.index("C")])] if draw(st.booleans()) else []
        return op_type(**window, layout=layout, activation=draw(activations)), [image, *bias]
    (result,) = evaluate(ops.MaxPool2dTaps(**window, layout=layout), [image])
    return op_type(**window, layout=layout), [array(*result.shape), image, *([result] if draw(st.booleans()) else [])]


def _loss(draw: Draw, op_type: type[Op], array: Array) -> Case:
    class_axis, rows, classes = draw(st.integers(0, 1)), draw(batches), draw(st.sampled_from([1, 2, 7, 10, 33]))
    logits = array(rows, classes) if class_axis == 1 else array(classes, rows)
    target = np.array([draw(st.integers(0, classes - 1)) for _ in range(rows)], draw(st.sampled_from(["i4", "i8"])))
    return op_type(class_axis), [*([array()] if op_type is ops.CrossEntropyGrad else []), logits, target]


def _transpose(draw: Draw, op_type: type[Op], array: Array) -> Case:
    rank = draw(st.integers(0, 4))
    shape = [draw(few) for _ in range(rank - 1)] + [draw(batches)] * (rank > 0)
    return op_type(tuple(draw(st.permutations(range(rank))))), [array(*draw(st.permutations(shape)))]


def _broadcast(draw: Draw, op_type: type[Op], array: Array) -> Case:
    shape = (draw(few), draw(few), draw(batches))
    given = tuple(1 if draw(st.booleans()) else dim for dim in shape)[draw(st.integers(0, 3)) :]
    return op_type(shape), [array(*given)]


def _margin(draw: Draw, op_type: type[Op], array: Array) -> Case:
    margins = tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in (0, 1))
    layout = draw(st.sampled_from([NCHW, CHWN]))
    shape = [draw(few), draw(few), draw(few), draw(batches)]
    if op_type is ops.Pad2d:
        return op_type(margins, layout, value=draw(st.sampled_from([0.0, 1.5, float("-inf")]))), [array(*shape)]
    for axis, pair in zip(ops.spatial_axes(layout), margins, strict=True):
        shape[axis] += sum(pair)
    return op_type(margins, layout), [array(*shape)]


def _winograd(draw: Draw, op_type: type[Op], array: Array) -> Case:
    tile, kernel = (draw(st.tuples(st.integers(1, 4), st.integers(1, 3))) for _ in (0, 1))
    transform = {"tile": tile, "kernel_size": kernel, "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))}
    if draw(st.booleans()):
        factor = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        phase = tuple(draw(st.integers(0, each - 1)) for each in factor)
        tile = (tile[0] * factor[0], tile[1] * factor[1])
        transform = {"tile": tile, "kernel_size": kernel, "upsampling": factor, "phase": phase}
    transform_of_inputs = ops.WinogradInput(**transform)
    places = transform_of_inputs.places
    filters, channels, batch, across = draw(few), draw(few), draw(batches), (draw(few), draw(few))
    size = tuple(count * m for count, m in zip(across, tile, strict=True))
    if op_type is ops.WinogradInput:
        return op_type(**transform), [array(channels, *transform_of_inputs.image_size(across), batch)]
    if op_type is ops.WinogradOutput:
        products = array(places, filters, across[0] * across[1] * batch)
        bias = [array(filters)] if draw(st.booleans()) else []
        return op_type(**transform, tiles_across=across, activation=draw(activations)), [products, *bias]
    if op_type is ops.WinogradOutputGrad:
        return op_type(**transform), [array(filters, *size, batch)]
    weight = (filters, channels, *kernel) if op_type is ops.WinogradWeight else (places, filters, channels)
    return op_type(**transform), [array(*weight)]


_MAKERS: dict[type[Op], Callable[[Draw, type[Op], Array], Case]] = {
    **dict.fromkeys((ops.Neg, ops.Exp, ops.Log, ops.Sqrt, ops.Relu, ops.Sigmoid, ops.Tanh), _unary),
    **dict.fromkeys((ops.ReluGrad, ops.SigmoidGrad, ops.TanhGrad), _same),
    **dict.fromkeys((ops.Add, ops.Sub, ops.Mul, ops.Div), _binary),
    **dict.fromkeys((ops.Sum, ops.Mean, ops.Max), _reduction),
    ops.MatMul: _matmul,
    **dict.fromkeys((ops.Conv2dDirect, ops.Conv2dDirectGradWeight), _conv),
    **dict.fromkeys((ops.DepthwiseConv2d, ops.DepthwiseConv2dGradWeight), _depthwise),
    ops.Im2colMatMul: _im2col_matmul,
    **dict.fromkeys((ops.ShiftedMatMul, ops.ShiftedMatMulGradWeight), _shifted),
    ops.FlipWeight: _flip,
    **dict.fromkeys((ops.Dilate2d, ops.Slice2d), _strided),
    ops.Slice2dGrad: _slice_grad,
    **dict.fromkeys((ops.MaxPool2dTaps, ops.AvgPool2dTaps, ops.MaxPool2dGradTaps), _pool),
    **dict.fromkeys((ops.CrossEntropy, ops.CrossEntropyGrad), _loss),
    ops.Transpose: _transpose,
    ops.BroadcastTo: _broadcast,
    **dict.fromkeys((ops.Pad2d, ops.Crop2d), _margin),
    **dict.fromkeys(
        (
            *(ops.WinogradInput, ops.WinogradOutput, ops.WinogradWeight),
            *(ops.WinogradOutputGrad, ops.WinogradWeightGrad),
        ),
        _winograd,
    ),
}

#: Ops with loops of their own; a region has those of its body.
LOOP_OPS = list(_MAKERS)

#: Values that arithmetic treats apart.
SPECIAL = np.array([np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0])


def special_rows(count: int, dtype: str) -> list[np.ndarray]:
    """Every combination of ``count`` special values, one operand each, in an odd number of columns."""
    return [np.array(column, dtype) for column in zip(*product(SPECIAL, repeat=count), strict=True)]
