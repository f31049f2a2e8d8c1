"""Gradients of convolution. All three ops are linear in each operand, so they differentiate into each other."""

from __future__ import annotations

from convir.ir import Builder, Node, Op, Value
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp, MaxPool2dGrad, ReluGrad, Sum
from convir.passes.attributes import common_attributes
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient


@gradient(Conv2d)
def conv2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = conv2d_grad_input(dz, w); dw = conv2d_grad_weight(dz, x); db = sum(dz)``, dz before the activation."""
    image, weight, *bias = node.inputs
    cotangent = through_activation(builder, node, cotangent)
    # First the bias: what it sums may then die before the patch matrices of the others are made.
    bias_grads = [_grad_bias(builder, cotangent) for _ in bias]
    return [
        builder.emit(_grad_input(node.op, image), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), cotangent, image),
        *bias_grads,
    ]


@gradient(Conv2dGradWeight)
def conv2d_grad_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dw: ``ddy = conv2d(x, g); dx = conv2d_grad_input(dy, g)``"""
    grad, image = node.inputs
    return [
        builder.emit(Conv2d(**common_attributes(node.op, ConvOp)), image, cotangent),
        builder.emit(_grad_input(node.op, image), grad, cotangent),
    ]


@gradient(Conv2dGradInput)
def conv2d_grad_input(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dx: ``ddy = conv2d(g, w); dw = conv2d_grad_weight(dy, g)``"""
    grad, weight = node.inputs
    return [
        builder.emit(Conv2d(**common_attributes(node.op, ConvOp)), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), grad, cotangent),
    ]


def _grad_bias(builder: Builder, cotangent: Value) -> Value:
    """``db = sum(dz)``; where ``dz = max_pool2d_grad(relu_grad(dy), x)`` has its sum from fewer elements.

    That gradient hands each window's cotangent to one pixel; to none where the window holds NaN or no pixel at all,
    but there relu's gradient is 0.
    """
    scattered = builder.producer(cotangent)
    if scattered is not None and isinstance(scattered.op, MaxPool2dGrad):
        masked = builder.producer(scattered.inputs[0])
        if masked is not None and isinstance(masked.op, ReluGrad):
            cotangent = scattered.inputs[0]
    return builder.emit(Sum((0, 2, 3)), cotangent)


def _grad_input(op: Op, image: Value) -> Conv2dGradInput:
    rows, columns = image.type.shape[2:]
    return Conv2dGradInput(**common_attributes(op, ConvOp), input_size=(rows, columns))


def _grad_weight(op: Op, weight: Value) -> Conv2dGradWeight:
    rows, columns = weight.type.shape[2:]
    return Conv2dGradWeight(**common_attributes(op, ConvOp), kernel_size=(rows, columns))
