"""Activations, their gradients, and epilogues."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import ActivationGradOp, ActivationOp, Relu, ReluGrad, Sigmoid, SigmoidGrad, Tanh, TanhGrad
from convir.loops.expr import Apply, Expr, Number, add, div, maximum, mul, sub, where_less
from convir.loops.nest import Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.maps import mapped

_ZERO, _ONE = Number(0.0), Number(1.0)


def activated(name: str | None, x: Expr) -> Expr:
    """The activation called ``name`` of ``x``; ``x`` itself without one."""
    if name is None:
        return x
    if name == "relu":
        return maximum(x, _ZERO)
    if name == "sigmoid":
        return div(_ONE, add(_ONE, Apply("exp", (Apply("neg", (x,)),))))
    return Apply(name, (x,))


@loops(Relu, Sigmoid, Tanh)
def activation(op: ActivationOp, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The function of each element."""
    return mapped(results[0], lambda *index: activated(op.name, operands[0].at(*index)))


@loops(ReluGrad, SigmoidGrad, TanhGrad)
def activation_grad(op: ActivationGradOp, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The cotangent through the activation, from its result."""
    grad, result = operands

    def value(*index: object) -> Expr:
        dy, y = grad.at(*index), result.at(*index)  # type: ignore[arg-type]
        if isinstance(op, ReluGrad):
            return where_less(_ZERO, y, dy, _ZERO)
        slope = mul(y, sub(_ONE, y)) if isinstance(op, SigmoidGrad) else sub(_ONE, mul(y, y))
        return mul(dy, slope)

    return mapped(results[0], value)
