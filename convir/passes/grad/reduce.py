"""Gradients of reductions."""

from __future__ import annotations

from math import prod

from convir.ir import Builder, Node, Value
from convir.ir.ops import BroadcastTo, Max, MaxGrad, Mean, Mul, ReduceOp, Reshape, Sum
from convir.passes.grad.elementwise import scalar
from convir.passes.grad.registry import gradient, not_differentiable


@gradient(Sum)
def sum_(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy`` repeated over the summed axes"""
    return [_spread(builder, node, cotangent)]


@gradient(Mean)
def mean(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = dy / n`` repeated over the n elements averaged"""
    assert isinstance(node.op, ReduceOp)
    count = prod(node.inputs[0].type.shape[axis] for axis in node.op.axes)
    share = builder.emit(Mul(), cotangent, scalar(builder, 1.0 / count, cotangent))
    return [_spread(builder, node, share)]


@gradient(Max)
def max_(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = max_grad(dy, x, y)``"""
    assert isinstance(node.op, Max)
    op = MaxGrad(node.op.axes, node.op.keepdims)
    return [builder.emit(op, cotangent, node.inputs[0], node.outputs[0])]


def _spread(builder: Builder, node: Node, cotangent: Value) -> Value:
    """Repeat a reduction's cotangent over the axes that it summed."""
    assert isinstance(node.op, ReduceOp)
    operand = node.inputs[0].type
    kept = node.op.reduced(operand, keepdims=True)
    if cotangent.type != kept:
        cotangent = builder.emit(Reshape(kept.shape), cotangent)
    return cotangent if kept == operand else builder.emit(BroadcastTo(operand.shape), cotangent)


not_differentiable("the second derivative of a maximum is zero wherever it exists, and is not offered", MaxGrad)
