"""The layers as functions of tensors: PyTorch's names, argument order, defaults and meaning.

Each takes symbolic tensors, parameters or NumPy arrays (constants of the graph), records nodes in
the trace that is running, and returns the result. All raise ShapeError or DTypeError with the
user's line if the operands do not fit, and ExecutionError outside of a trace.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from convir.frontend.missing import absent_from
from convir.frontend.nn.arguments import PairLike, conv_padding, pair
from convir.frontend.recording import place, placed
from convir.frontend.tensor import Operand, Symbolic, Tensor, record
from convir.ir import ShapeError, UnsupportedError, ops

__all__ = [
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "linear",
    "max_pool2d",
    "mse_loss",
    "relu",
    "sigmoid",
    "tanh",
]

if not TYPE_CHECKING:
    __getattr__ = absent_from("nn.functional", __all__)


def conv2d(
    input: Operand,
    weight: Operand,
    bias: Operand = None,
    stride: PairLike = 1,
    padding: PairLike | str = 0,
    dilation: PairLike = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of (N, C, H, W) with (O, C/groups, KH, KW), plus a bias (O,).

    ``padding`` is a number, a pair, "valid" (none) or "same" (as many rows and columns as before;
    stride 1 only; an even kernel pads one more at the end, with a ``pad2d`` node of its own).
    """
    with placed("conv2d"):
        steps, dilations = pair("stride", stride), pair("dilation", dilation)
        size = tuple(getattr(weight, "shape", ()))[2:]
        # A weight of another rank is for the op's own shape rule to refuse.
        kernel = (size[0], size[1]) if len(size) == 2 else (1, 1)
        around, margins = conv_padding(padding, kernel, steps, dilations)
    if margins is not None:
        input = record(ops.Pad2d, input, margins=margins)
    operands = [input, weight] if bias is None else [input, weight, bias]
    return record(ops.Conv2d, *operands, stride=steps, padding=around, dilation=dilations, groups=groups)


def linear(input: Operand, weight: Operand, bias: Operand = None) -> Tensor:
    """``input @ weight.T + bias`` for input (..., in), weight (out, in) and bias (out,), in one node."""
    vector = getattr(input, "ndim", 2) == 1
    rows = input.reshape(1, -1) if vector else input
    operands = [rows, weight] if bias is None else [rows, weight, bias]
    result = record(ops.MatMul, *operands, transpose_b=True)
    return result.reshape(-1) if vector else result


def max_pool2d(
    input: Operand,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PairLike = 0,
    dilation: PairLike = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Maximum of each window over (N, C, H, W), padded with -inf; ``stride`` is the kernel size unless given."""
    if return_indices:
        raise UnsupportedError("max pooling returns no indices; leave return_indices=False", place("max_pool2d"))
    with placed("max_pool2d"):
        attributes = window(kernel_size, stride, padding) | {"dilation": pair("dilation", dilation)}
    return record(ops.MaxPool2d, input, ceil_mode=bool(ceil_mode), **attributes)


def avg_pool2d(
    input: Operand,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PairLike = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average of each window over (N, C, H, W); ``stride`` is the kernel size unless given.

    Zeros of the padding count as elements unless ``count_include_pad=False``; ``divisor_override``
    replaces the number of elements.
    """
    with placed("avg_pool2d"):
        attributes = window(kernel_size, stride, padding)
    return record(
        ops.AvgPool2d,
        input,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor_override=divisor_override,
        **attributes,
    )


def window(kernel_size: Any, stride: Any, padding: Any) -> dict[str, Any]:
    """The attributes that all poolings share."""
    kernel = pair("kernel_size", kernel_size)
    return {
        "kernel_size": kernel,
        "stride": kernel if stride is None else pair("stride", stride),
        "padding": pair("padding", padding),
    }


def relu(input: Operand, inplace: bool = False) -> Tensor:
    """``max(input, 0)``. ``inplace`` has no effect: the compiler decides which buffers are used again."""
    return record(ops.Relu, input)


def sigmoid(input: Operand) -> Tensor:
    """``1 / (1 + exp(-input))``"""
    return record(ops.Sigmoid, input)


def tanh(input: Operand) -> Tensor:
    """Hyperbolic tangent."""
    return record(ops.Tanh, input)


def dropout(input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Elements set to 0 with probability ``p`` and the others divided by ``1 - p``; nothing unless ``training``."""
    mask_attributes = {"p": probability(p)}
    if not training or p == 0:
        return input
    return record(ops.Mul, input, record(ops.DropoutMask, input, **mask_attributes))


def probability(p: Any) -> float:
    """``p`` as a float between 0 and 1; raises ShapeError for anything else."""
    with placed("dropout"):
        if isinstance(p, Symbolic) or not hasattr(p, "__float__"):
            raise ShapeError(f"p must be a number between 0 and 1, got {p!r}")
        return ops.DropoutMask(float(p)).p


def flatten(input: Operand, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` merged into one."""
    if isinstance(input, Symbolic):
        return input.flatten(start_dim, end_dim)
    return record(ops.Flatten, input, start_dim=operator.index(start_dim), end_dim=operator.index(end_dim))


def cross_entropy(input: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Mean over the batch of ``log sum exp(logits) - logits[target]``.

    ``input`` holds logits (N, classes), ``target`` class indices (N,), int64 or int32:
    ``trace(loss, (64, 10), TensorType((64,), "int64"))``. Of PyTorch's function this has neither class
    weights nor ``ignore_index``, label smoothing, class probabilities or more axes.
    """
    _require_mean("cross_entropy", reduction)
    return record(ops.CrossEntropy, input, target)


def mse_loss(input: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Mean of ``(input - target) ** 2``; both must have one shape, where PyTorch warns and broadcasts."""
    _require_mean("mse_loss", reduction)
    shapes = [tuple(getattr(operand, "shape", ())) for operand in (input, target)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"input {list(shapes[0])} and target {list(shapes[1])} must have one shape; "
            "reshape one of them (broadcasting would compare every element with every other)",
            place("mse_loss"),
        )
    difference = record(ops.Sub, input, target)
    return (difference * difference).mean()


def _require_mean(loss: str, reduction: str) -> None:
    if reduction != "mean":
        raise UnsupportedError(f"only reduction='mean' is there, got {reduction!r}", place(loss))
