"""Gradients of losses."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import CrossEntropy, CrossEntropyGrad
from convir.passes.grad.registry import gradient, not_differentiable


@gradient(CrossEntropy)
def cross_entropy(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dlogits = cross_entropy_grad(dy, logits, target)``; class indices have no gradient."""
    assert isinstance(node.op, CrossEntropy)
    return [builder.emit(CrossEntropyGrad(node.op.class_axis), cotangent, *node.inputs), None]


not_differentiable("the second derivative of cross-entropy is not offered", CrossEntropyGrad)
