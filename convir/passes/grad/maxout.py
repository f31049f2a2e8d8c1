"""Gradients of maxout."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import Maxout, MaxoutGrad, Sum
from convir.passes.grad.activation import through_activation
from convir.passes.grad.registry import gradient, not_differentiable


@gradient(Maxout)
def maxout(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = maxout_grad(dz, x); db = sum(dz)``, dz before the activation."""
    assert isinstance(node.op, Maxout)
    image, *bias = node.inputs
    dz = through_activation(builder, node, cotangent)
    axes = tuple(range(1, cotangent.type.rank))
    dx = builder.emit(MaxoutGrad(node.op.pieces), dz, image)
    return [dx, *(builder.emit(Sum(axes), dz) for _ in bias)]


not_differentiable("the second derivative of a maximum needs a gather op, which convir does not have", MaxoutGrad)
