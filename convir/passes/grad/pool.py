"""Gradients of pooling."""

from __future__ import annotations

from typing import Any

from convir.ir import Builder, Node, Value
from convir.ir.ops import (
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
    Sum,
    spatial_size,
)
from convir.passes.attributes import common_attributes
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient, not_differentiable

_GRADIENT_OF: dict[type[PoolOp], Any] = {
    MaxPool2d: MaxPool2dGrad,
    MaxPool2dTaps: MaxPool2dGradTaps,
    AvgPool2d: AvgPool2dGrad,
    AvgPool2dTaps: AvgPool2dGradTaps,
    AvgPool2dGrad: AvgPool2d,
    AvgPool2dGradTaps: AvgPool2dTaps,
}


@gradient(MaxPool2d, MaxPool2dTaps)
def max_pool2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = max_pool2d_grad(dz, x, max); db = sum(dz)``, dz before the activation.

    The result holds the maxima wherever dz is not 0, if there is no bias and the activation is none or relu.
    Otherwise they are computed again: taking the bias off the result would not be exact.
    """
    assert isinstance(node.op, MaxPool2d)
    image, *bias = node.inputs
    target = _GRADIENT_OF[type(node.op)]
    op = target(**common_attributes(node.op, target))
    dz = through_activation(builder, node, cotangent)
    known = node.outputs if node.op.activation_keeps_maxima and not bias else ()
    axes = tuple(axis for axis, label in enumerate(node.op.layout) if label != "C")
    return [builder.emit(op, dz, image, *known), *(builder.emit(Sum(axes), dz) for _ in bias)]


@gradient(AvgPool2d, AvgPool2dTaps)
def avg_pool2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = avg_pool2d_grad(dy)``"""
    assert isinstance(node.op, PoolOp)
    target = _GRADIENT_OF[type(node.op)]
    size = spatial_size(node.inputs[0].type, node.op.layout)
    return [builder.emit(target(**common_attributes(node.op, target), input_size=size), cotangent)]


@gradient(AvgPool2dGrad, AvgPool2dGradTaps)
def avg_pool2d_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """Average pooling is linear: the adjoint of its adjoint is itself."""
    target = _GRADIENT_OF[type(node.op)]  # type: ignore[index]
    return [builder.emit(target(**common_attributes(node.op, target)), cotangent)]


not_differentiable(
    "the second derivative of max pooling needs a gather op, which convir does not have",
    MaxPool2dGrad,
    MaxPool2dGradTaps,
)
