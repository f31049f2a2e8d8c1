"""Gradients of shifted products: three ops, linear in each operand, that differentiate into each other."""

from __future__ import annotations

from convir.ir import Builder, Node, Op, Value
from convir.ir.ops import ShiftedMatMul, ShiftedMatMulGradInput, ShiftedMatMulGradWeight, ShiftOp, Sum
from convir.passes.attributes import common_attributes
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient


@gradient(ShiftedMatMul)
def shifted_matmul(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx`` and ``dw`` by the ops of that name, ``db = sum(dz)``; dz is the cotangent before the activation."""
    image, weight, *bias = node.inputs
    cotangent = through_activation(builder, node, cotangent)
    return [
        builder.emit(ShiftedMatMulGradInput(**common_attributes(node.op, ShiftOp)), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), cotangent, image),
        *(builder.emit(Sum((1, 2, 3)), cotangent) for _ in bias),
    ]


@gradient(ShiftedMatMulGradInput)
def shifted_matmul_grad_input(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dx: ``ddy = shifted_matmul(g, w); dw = shifted_matmul_grad_weight(dy, g)``"""
    grad, weight = node.inputs
    return [
        builder.emit(ShiftedMatMul(**common_attributes(node.op, ShiftOp)), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), grad, cotangent),
    ]


@gradient(ShiftedMatMulGradWeight)
def shifted_matmul_grad_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dw: ``ddy = shifted_matmul(x, g); dx = shifted_matmul_grad_input(dy, g)``"""
    grad, image = node.inputs
    return [
        builder.emit(ShiftedMatMul(**common_attributes(node.op, ShiftOp)), image, cotangent),
        builder.emit(ShiftedMatMulGradInput(**common_attributes(node.op, ShiftOp)), grad, cotangent),
    ]


def _grad_weight(op: Op, weight: Value) -> ShiftedMatMulGradWeight:
    rows, columns = weight.type.shape[:2]
    return ShiftedMatMulGradWeight(**common_attributes(op, ShiftOp), kernel_size=(rows, columns))
