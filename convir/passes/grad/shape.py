"""Gradients of ops that move elements: move them back."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import BroadcastTo, Crop2d, Flatten, Pad2d, Reshape, Slice2d, Slice2dGrad, Transpose, inverse
from convir.passes.attributes import common_attributes
from convir.passes.grad.elementwise import unbroadcast
from convir.passes.grad.registry import gradient


@gradient(Reshape, Flatten)
def reshape(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = reshape(dy)``"""
    return [builder.emit(Reshape(node.inputs[0].type.shape), cotangent)]


@gradient(Transpose)
def transpose(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = transpose(dy)`` by the inverse permutation"""
    assert isinstance(node.op, Transpose)
    return [builder.emit(Transpose(inverse(node.op.permutation)), cotangent)]


@gradient(BroadcastTo)
def broadcast_to(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy`` summed over the repeated axes"""
    return [unbroadcast(builder, cotangent, node.inputs[0].type)]


@gradient(Pad2d)
def pad2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = crop2d(dy)``"""
    return [builder.emit(Crop2d(**common_attributes(node.op, Crop2d)), cotangent)]


@gradient(Crop2d)
def crop2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = pad2d(dy)``"""
    return [builder.emit(Pad2d(**common_attributes(node.op, Pad2d)), cotangent)]


@gradient(Slice2d)
def slice2d(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = slice2d_grad(dy)``"""
    rows, columns = node.inputs[0].type.shape[1:3]
    op = Slice2dGrad(**common_attributes(node.op, Slice2dGrad), input_size=(rows, columns))
    return [builder.emit(op, cotangent)]


@gradient(Slice2dGrad)
def slice2d_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = slice2d(dy)``"""
    return [builder.emit(Slice2d(**common_attributes(node.op, Slice2d)), cotangent)]
