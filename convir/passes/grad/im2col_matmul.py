"""Gradients of products with the patch matrix: three ops that differentiate into each other."""

from __future__ import annotations

from convir.ir import Builder, Node, Op, Value
from convir.ir.ops import Im2colMatMul, Im2colMatMulGradInput, Im2colMatMulGradWeight, Im2colMatMulOp, Sum
from convir.passes.attributes import common_attributes
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient


@gradient(Im2colMatMul)
def im2col_matmul(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx`` and ``dw`` by the ops of that name, ``db = sum(dz)``; dz is the cotangent before the activation."""
    image, weight, *bias = node.inputs
    cotangent = through_activation(builder, node, cotangent)
    return [
        builder.emit(_grad_input(node.op, image), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), cotangent, image),
        *(builder.emit(Sum((1, 2, 3)), cotangent) for _ in bias),
    ]


@gradient(Im2colMatMulGradInput)
def im2col_matmul_grad_input(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dx: ``ddy = im2col_matmul(g, w); dw = im2col_matmul_grad_weight(dy, g)``"""
    grad, weight = node.inputs
    return [
        builder.emit(Im2colMatMul(**common_attributes(node.op, Im2colMatMulOp)), cotangent, weight),
        builder.emit(_grad_weight(node.op, weight), grad, cotangent),
    ]


@gradient(Im2colMatMulGradWeight)
def im2col_matmul_grad_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """With g the cotangent of dw: ``ddy = im2col_matmul(x, g); dx = im2col_matmul_grad_input(dy, g)``"""
    grad, image = node.inputs
    return [
        builder.emit(Im2colMatMul(**common_attributes(node.op, Im2colMatMulOp)), image, cotangent),
        builder.emit(_grad_input(node.op, image), grad, cotangent),
    ]


def _grad_input(op: Op, image: Value) -> Im2colMatMulGradInput:
    rows, columns = image.type.shape[1:3]
    return Im2colMatMulGradInput(**common_attributes(op, Im2colMatMulOp), input_size=(rows, columns))


def _grad_weight(op: Op, weight: Value) -> Im2colMatMulGradWeight:
    rows, columns = weight.type.shape[2:]
    return Im2colMatMulGradWeight(**common_attributes(op, Im2colMatMulOp), kernel_size=(rows, columns))
