"""Batch roles of activations."""

from __future__ import annotations

from convir.ir.ops import ActivationGradOp, ActivationOp, Relu, ReluGrad, Sigmoid, SigmoidGrad, Tanh, TanhGrad
from convir.passes.batch.operand import joined, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(Relu, Sigmoid, Tanh)
def activation(op: ActivationOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Element by element, and not linear."""
    return (joined(*unmoved(op, roles, operands)),)


@batch_rule(ReluGrad, SigmoidGrad, TanhGrad)
def activation_grad(op: ActivationGradOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Element by element, and linear in the cotangent."""
    return (scaled(*unmoved(op, roles, operands)),)
