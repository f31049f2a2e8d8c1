"""Gradients of depthwise convolution: three ops, linear in each operand, that differentiate into each other."""

from __future__ import annotations

from convir.ir import Builder, Node, Op, Value
from convir.ir.ops import DepthwiseConv2d, DepthwiseConv2dGradInput, DepthwiseConv2dGradWeight, PolyphaseOp, Sum
from convir.passes.attributes import common_attributes
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient


@gradient(DepthwiseConv2d)
def depthwise_conv2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx`` and ``dw`` by the ops of that name, ``db = sum(dz)``; dz is the cotangent before the activation."""
    image, weight, *bias = node.inputs
    cotangent = through_activation(builder, node, cotangent)
    return [
        builder.emit(_grad_input(node.op, image, weight), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), cotangent, image),
        *(builder.emit(Sum((1, 2, 3)), cotangent) for _ in bias),
    ]


@gradient(DepthwiseConv2dGradInput)
def depthwise_conv2d_grad_input(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dx: ``ddy = depthwise_conv2d(g, w); dw = depthwise_conv2d_grad_weight(dy, g)``"""
    grad, weight = node.inputs
    return [
        builder.emit(DepthwiseConv2d(**common_attributes(node.op, PolyphaseOp)), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), grad, cotangent),
    ]


@gradient(DepthwiseConv2dGradWeight)
def depthwise_conv2d_grad_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dw: ``ddy = depthwise_conv2d(x, g); dx = depthwise_conv2d_grad_input(dy, g)``"""
    grad, image = node.inputs
    return [
        builder.emit(DepthwiseConv2d(**common_attributes(node.op, PolyphaseOp)), image, cotangent),
        builder.emit(_grad_input(node.op, image, cotangent), grad, cotangent),
    ]


def _grad_input(op: Op, image: Value, weight: Value) -> DepthwiseConv2dGradInput:
    multiplier = weight.type.shape[0] // image.type.shape[0]
    return DepthwiseConv2dGradInput(**common_attributes(op, PolyphaseOp), multiplier=multiplier)


def _grad_weight(op: Op, weight: Value) -> DepthwiseConv2dGradWeight:
    rows, columns = weight.type.shape[2:]
    return DepthwiseConv2dGradWeight(**common_attributes(op, PolyphaseOp), kernel_size=(rows, columns))
