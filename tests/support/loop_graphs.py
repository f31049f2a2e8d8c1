"""Random graphs of lowered ops, all of those that have loops: what regions are drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from convir.ir import Graph, Op, TensorType, Value, ops
from convir.ir.ops import CHWN, NCHW
from support.draft import Draft
from support.graphs import random_array
from support.loop_cases import LOOP_OPS, loop_cases

#: Below and around the widest vector and its blocks.
BATCHES = [1, 1, 2, 3, 5, 8, 9, 16, 17]

_ACTIVATIONS = st.sampled_from([None, None, "relu", "sigmoid", "tanh"])


Move = Callable[[Draft], Value | None]


def _unary(d: Draft) -> Value | None:
    x = d.pick()
    assert x is not None
    return d.emit(d.draw(st.sampled_from([ops.Relu, ops.Sigmoid, ops.Tanh, ops.Neg]))(), x)


def _positive(d: Draft, x: Value) -> Value:
    """Between a third and three: where every function is tame."""
    return d.emit(ops.Exp(), d.emit(ops.Tanh(), x))


def _root(d: Draft) -> Value | None:
    x = d.pick()
    assert x is not None
    return d.emit(d.draw(st.sampled_from([ops.Sqrt, ops.Log, ops.Neg]))(), _positive(d, x))


def _binary(d: Draft) -> Value | None:
    a = d.pick()
    assert a is not None
    shape = tuple(1 if d.rarely() else dim for dim in a.type.shape)[d.number(0, a.type.rank) if d.rarely() else 0 :]
    b = a if d.rarely() else d.operand("residual", *shape)
    if d.rarely():
        return d.emit(ops.Div(), a, _positive(d, b))
    pair = d.draw(st.permutations([a, b]))
    return d.emit(d.draw(st.sampled_from([ops.Add, ops.Add, ops.Sub, ops.Mul]))(), *pair)


def _activation_grad(d: Draft) -> Value | None:
    grad = d.pick()
    assert grad is not None
    kind = d.draw(st.sampled_from([ops.ReluGrad, ops.SigmoidGrad, ops.TanhGrad]))
    known = [value for value in d.values if value.type == grad.type and value.name in d.exact]
    result = d.draw(st.sampled_from([*known, None]))
    return d.emit(kind(), grad, d.input("result", *grad.type.shape) if result is None else result)


def _window(d: Draft, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Kernel, stride and dilation of windows that fit into ``size``."""
    kernel, dilation = d.pair(1, 3), d.pair(1, 2)
    dilation = tuple(d if ops.extent(k, d) <= s else 1 for k, d, s in zip(kernel, dilation, size, strict=True))
    kernel = tuple(min(pair) for pair in zip(kernel, size, strict=True))
    return {"kernel_size": kernel, "stride": d.pair(1, 3), "dilation": dilation}


def _conv(d: Draft) -> Value | None:
    image = d.pick(rank=4)
    if image is None:
        return None
    channels, *size, _ = image.type.shape
    window = _window(d, tuple(size))
    groups = d.draw(st.sampled_from([1, 1, channels]))
    filters, kernel = groups * d.number(1, 3), window.pop("kernel_size")
    weight = d.operand("weight", filters, channels // groups, *kernel)
    bias = [d.operand("bias", filters)] if d.draw(st.booleans()) else []
    return d.emit(ops.Conv2dDirect(**window, groups=groups, activation=d.draw(_ACTIVATIONS)), image, weight, *bias)


def _conv_grad_input(d: Draft) -> Value | None:
    """A convolution of the cotangent between zeros, with the weights' taps in reverse."""
    grad = d.pick(rank=4)
    if grad is None:
        return None
    filters, kernel = grad.type.shape[0], d.pair(1, 3)
    groups = d.draw(st.sampled_from([1, 1, filters]))
    flipped = d.emit(ops.FlipWeight(groups), d.operand("weight", filters, d.number(1, 2), *kernel))
    dilated = d.emit(ops.Dilate2d(d.pair(1, 2)), grad)
    padded = d.emit(ops.Pad2d(tuple((k - 1, k - 1) for k in kernel), CHWN), dilated)
    return d.emit(ops.Conv2dDirect(groups=groups), padded, flipped)


def _conv_grad_weight(d: Draft) -> Value | None:
    image = d.pick(rank=4)
    if image is None:
        return None
    channels, *size, _ = image.type.shape
    window = _window(d, tuple(size))
    groups = d.draw(st.sampled_from([1, channels]))
    op = ops.Conv2dDirectGradWeight(**window, groups=groups)
    weight = TensorType((groups * d.number(1, 2), channels // groups, *op.kernel_size), d.dtype)
    return d.emit(op, d.operand("grad", *op.convolve(image.type, weight).shape), image)


def _part(d: Draft) -> Value | None:
    """More rows and columns, or fewer."""
    image, layout = d.pick(rank=4), d.draw(st.sampled_from([CHWN, CHWN, NCHW]))
    if image is None:
        return None
    if d.draw(st.booleans()):
        return d.emit(ops.Pad2d((d.pair(0, 2), d.pair(0, 2)), layout, d.draw(st.sampled_from([0.0, 1.5]))), image)
    crops = [(d.number(0, 1), d.number(0, 1)) for _ in range(2)]
    sizes = ops.spatial_size(image.type, layout)
    kept = tuple(crop if sum(crop) < size else (0, 0) for crop, size in zip(crops, sizes, strict=True))
    return d.emit(ops.Crop2d(kept, layout), image)


def _pooling(d: Draft, image: Value) -> dict[str, object]:
    """Windows inside the image, mostly, and side by side; those over the edge have other loops, or none."""
    layout = d.draw(st.sampled_from([CHWN, CHWN, NCHW]))
    window = _window(d, ops.spatial_size(image.type, layout))
    if not d.rarely():
        reach = map(ops.extent, window["kernel_size"], window["dilation"])
        window["stride"] = tuple(step + max(0, d.number(-2, 2)) for step in reach)
    if d.rarely():
        window["padding"] = tuple(k // 2 for k in window["kernel_size"])
    return {**window, "layout": layout, "ceil_mode": d.rarely()}


def _pool(d: Draft) -> Value | None:
    image = d.pick(rank=4)
    return None if image is None else _pooled(d, image)


def _conv_and_pool(d: Draft) -> Value | None:
    image = _conv(d)
    if image is None:
        return None
    return _pooled(d, d.emit(ops.Relu(), image) if d.rarely() else image)


def _pooled(d: Draft, image: Value) -> Value:
    options = _pooling(d, image)
    if d.draw(st.booleans()):
        return d.emit(ops.AvgPool2dTaps(**{**options, "dilation": (1, 1)}), image)
    channels = image.type.shape[options["layout"].index("C")]
    bias = [d.operand("bias", channels)] if d.draw(st.booleans()) else []
    return d.emit(ops.MaxPool2dTaps(**options, activation=d.draw(_ACTIVATIONS)), image, *bias)


def _pool_grad(d: Draft) -> Value | None:
    """Of an image that nobody rounds: a maximum is found by comparing."""
    image = d.pick(rank=4, exact=True)
    if image is None:
        return None
    options = _pooling(d, image)
    (pooled,) = ops.MaxPool2dTaps(**options).infer(image.type)
    result = [d.emit(ops.MaxPool2dTaps(**options), image)] if d.draw(st.booleans()) else []
    return d.emit(ops.MaxPool2dGradTaps(**options), d.operand("grad", *pooled.shape), image, *result)


def _matrix(d: Draft) -> Value:
    """A value of two dimensions, or what becomes of one that has others."""
    x = d.pick(rank=2) or d.pick()
    assert x is not None
    columns = x.type.shape[-1] if x.type.rank else 1
    return x if x.type.rank == 2 else d.emit(ops.Reshape((x.type.size // columns, columns)), x)


def _matmul(d: Draft) -> Value | None:
    a = _matrix(d)
    transposed, columns = (d.draw(st.booleans()), d.draw(st.booleans())), d.number(1, 9)
    rows, inner = a.type.shape[:: -1 if transposed[0] else 1]
    b = d.operand("weight", *((columns, inner) if transposed[1] else (inner, columns)))
    shape = d.draw(st.sampled_from([None, (columns,), (rows, 1), (rows, columns)]))
    bias = [] if shape is None else [d.operand("bias", *shape)]
    return d.emit(ops.MatMul(*transposed, d.draw(_ACTIVATIONS)), a, b, *bias)


def _reduce(d: Draft) -> Value | None:
    x = d.pick()
    assert x is not None
    axes = tuple(axis for axis in range(x.type.rank) if d.draw(st.booleans()))
    return d.emit(d.draw(st.sampled_from([ops.Sum, ops.Mean, ops.Max]))(axes, d.draw(st.booleans())), x)


def _layout(d: Draft) -> Value | None:
    x = d.pick()
    assert x is not None
    if d.draw(st.booleans()):
        return d.emit(ops.Transpose(tuple(d.draw(st.permutations(range(x.type.rank))))), x)
    if d.draw(st.booleans()):
        return d.emit(ops.BroadcastTo((d.number(1, 2), *x.type.shape)), x)
    order, size = d.draw(st.permutations(x.type.shape)), x.type.size
    shape = d.draw(st.sampled_from([order, order, (size,), (1, size), (*order, 1), (1, *order)]))
    return d.emit(ops.Reshape(tuple(shape)), x)


def _loss(d: Draft) -> Value | None:
    logits, class_axis = _matrix(d), d.number(0, 1)
    if logits.type.shape[class_axis] < 2:
        return None
    target = d.input("target", logits.type.shape[1 - class_axis], dtype=d.draw(st.sampled_from(["int32", "int64"])))
    if d.draw(st.booleans()):
        return d.emit(ops.CrossEntropy(class_axis), logits, target)
    return d.emit(ops.CrossEntropyGrad(class_axis), d.operand("grad"), logits, target)


def _softmax(d: Draft) -> Value | None:
    logits, axes = _matrix(d), (d.number(0, 1),)
    exponential = d.emit(ops.Exp(), d.emit(ops.Sub(), logits, d.emit(ops.Max(axes, True), logits)))
    return d.emit(ops.Div(), exponential, d.emit(ops.Sum(axes, True), exponential))


#: Ops that the moves above draw, with operands that suit them.
_OWN: tuple[type[Op], ...] = (ops.Relu, ops.Sigmoid, ops.Tanh, ops.Neg, ops.Exp, ops.Log, ops.Sqrt)
_OWN += (ops.Add, ops.Sub, ops.Mul, ops.Div, ops.ReluGrad, ops.SigmoidGrad, ops.TanhGrad, ops.Sum, ops.Mean, ops.Max)
_OWN += (ops.Conv2dDirect, ops.Conv2dDirectGradWeight, ops.FlipWeight, ops.Dilate2d, ops.Pad2d, ops.Crop2d)
_OWN += (ops.MaxPool2dTaps, ops.AvgPool2dTaps, ops.MaxPool2dGradTaps, ops.MatMul, ops.Transpose, ops.BroadcastTo)
_OWN += (ops.CrossEntropy, ops.CrossEntropyGrad)

_OTHERS = [op for op in LOOP_OPS if op not in _OWN]


def _other(d: Draft) -> Value | None:
    """Any other op that has loops."""
    if not _OTHERS:
        return None
    op, arrays = d.draw(loop_cases(d.draw(st.sampled_from(_OTHERS)), d.dtype))
    return d.emit(op, *(d.operand("operand", *array.shape) for array in arrays))


#: The likely ones several times.
_MOVES: list[Move] = [
    *(_unary, _binary, _binary, _activation_grad, _conv, _conv, *[_conv_and_pool] * 4, _pool, _pool_grad, _matmul),
    *(_root, _conv_grad_input, _conv_grad_weight, _part, _reduce, _layout, _layout, _loss, _softmax, _other),
]


@st.composite
def loop_graphs(draw: st.DrawFn, dtype: str = "float64", most: int = 8) -> Graph:
    """A valid graph of ``most`` moves; its outputs are the last values and some others."""
    d = Draft(draw, dtype)
    batch = draw(st.sampled_from(BATCHES))
    if d.number(0, 3):
        d.values.append(d.input("image", d.number(1, 3), d.number(1, 7), d.number(1, 6), batch))
    else:
        d.values.append(d.input("matrix", d.number(1, 9), batch))
    for _ in range(draw(st.integers(2, most))):
        made = draw(st.sampled_from(_MOVES))(d)
        if made is not None:
            d.keep(made)
    outputs = [d.values[-1], *draw(st.lists(st.sampled_from(d.values), max_size=1))]
    return d.builder.finish(outputs, {})


def arrays_for(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """A random array for each input."""
    rng = np.random.default_rng(seed)
    return {value.name: random_array(value.type, rng) for value in graph.inputs}
