"""Gradients of activations."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import (
    ACTIVATIONS,
    Conv2d,
    DepthwiseConv2d,
    Im2colMatMul,
    MatMul,
    Maxout,
    MaxPool2d,
    Mul,
    Relu,
    ReluGrad,
    ShiftedMatMul,
    Sigmoid,
    SigmoidGrad,
    Sub,
    Tanh,
    TanhGrad,
)
from convir.passes.grad.elementwise import scalar
from convir.passes.grad.registry import gradient

_GRADIENT_OF = dict(ACTIVATIONS.values())


@gradient(Relu, Sigmoid, Tanh)
def activation(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = f_grad(dy, y)``"""
    return [builder.emit(_GRADIENT_OF[type(node.op)](), cotangent, node.outputs[0])]  # type: ignore[index]


def through_activation(builder: Builder, node: Node, cotangent: Value) -> Value:
    """The cotangent before the fused activation of a convolution, matmul or max pooling, maxout."""
    assert isinstance(node.op, Conv2d | DepthwiseConv2d | Im2colMatMul | MatMul | Maxout | MaxPool2d | ShiftedMatMul)
    if node.op.activation is None:
        return cotangent
    return builder.emit(ACTIVATIONS[node.op.activation][1](), cotangent, node.outputs[0])


@gradient(ReluGrad)
def relu_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """Linear in dy; its derivative in y is zero wherever it exists."""
    return [builder.emit(ReluGrad(), cotangent, node.inputs[1]), None]


@gradient(SigmoidGrad)
def sigmoid_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``d(dy) = g * y * (1 - y); dy = g * dy * (1 - 2y)``"""
    grad, result = node.inputs
    slope = builder.emit(Sub(), scalar(builder, 1.0, result), builder.emit(Mul(), scalar(builder, 2.0, result), result))
    product = builder.emit(Mul(), cotangent, grad)
    return [builder.emit(SigmoidGrad(), cotangent, result), builder.emit(Mul(), product, slope)]


@gradient(TanhGrad)
def tanh_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``d(dy) = g * (1 - y * y); dy = g * dy * (-2y)``"""
    grad, result = node.inputs
    slope = builder.emit(Mul(), scalar(builder, -2.0, result), result)
    product = builder.emit(Mul(), cotangent, grad)
    return [builder.emit(TanhGrad(), cotangent, result), builder.emit(Mul(), product, slope)]
