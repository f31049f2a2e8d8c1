"""Gradients of element-by-element arithmetic, with broadcasting undone."""

from __future__ import annotations

import numpy as np

from convir.ir import Builder, Node, TensorType, Value
from convir.ir.ops import Add, Constant, Div, Exp, Literal, Log, Mul, Neg, Reshape, Sqrt, Sub, Sum
from convir.passes.grad.registry import gradient


def unbroadcast(builder: Builder, cotangent: Value, target: TensorType) -> Value:
    """Sum ``cotangent`` over the axes along which an operand of type ``target`` was repeated."""
    shape = cotangent.type.shape
    new = len(shape) - target.rank
    stretched = [new + axis for axis, dim in enumerate(target.shape) if dim != shape[new + axis]]
    axes = (*range(new), *stretched)
    if axes:
        cotangent = builder.emit(Sum(axes, keepdims=bool(stretched)), cotangent)
    return cotangent if cotangent.type == target else builder.emit(Reshape(target.shape), cotangent)


def scalar(builder: Builder, number: float, like: Value) -> Value:
    """A constant of the element type of ``like``."""
    return builder.emit(Constant(Literal(np.array(number, like.type.dtype))))


@gradient(Add)
def add(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``da = dy; db = dy``"""
    return [unbroadcast(builder, cotangent, operand.type) for operand in node.inputs]


@gradient(Sub)
def sub(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``da = dy; db = -dy``"""
    a, b = node.inputs
    return [
        unbroadcast(builder, cotangent, a.type),
        builder.emit(Neg(), unbroadcast(builder, cotangent, b.type)),
    ]


@gradient(Mul)
def mul(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``da = dy * b; db = dy * a``"""
    a, b = node.inputs
    return [
        unbroadcast(builder, builder.emit(Mul(), cotangent, b), a.type),
        unbroadcast(builder, builder.emit(Mul(), cotangent, a), b.type),
    ]


@gradient(Div)
def div(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``da = dy / b; db = -(dy / b) * y``"""
    a, b = node.inputs
    quotient = builder.emit(Div(), cotangent, b)
    product = builder.emit(Mul(), quotient, node.outputs[0])
    return [
        unbroadcast(builder, quotient, a.type),
        builder.emit(Neg(), unbroadcast(builder, product, b.type)),
    ]


@gradient(Neg)
def neg(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = -dy``"""
    return [builder.emit(Neg(), cotangent)]


@gradient(Exp)
def exp(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy * y``"""
    return [builder.emit(Mul(), cotangent, node.outputs[0])]


@gradient(Log)
def log(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy / x``"""
    return [builder.emit(Div(), cotangent, node.inputs[0])]


@gradient(Sqrt)
def sqrt(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy / 2 / y``"""
    half = builder.emit(Mul(), cotangent, scalar(builder, 0.5, cotangent))
    return [builder.emit(Div(), half, node.outputs[0])]
