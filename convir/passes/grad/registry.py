"""The one table of gradient rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convir.ir import Builder, Node, Op, Value

#: ``rule(builder, node, cotangent)`` emits what computes the cotangent of each operand and returns
#: them in order; None where no gradient flows (class indices, masks).
GradientRule = Callable[[Builder, Node, Value], Sequence[Value | None]]

GRADIENTS: dict[type[Op], GradientRule] = {}

#: Ops without a rule, and why.
NOT_DIFFERENTIABLE: dict[type[Op], str] = {}


def gradient(*op_types: type[Op]) -> Callable[[GradientRule], GradientRule]:
    """Register the decorated rule for these op classes."""

    def register(rule: GradientRule) -> GradientRule:
        GRADIENTS.update(dict.fromkeys(op_types, rule))
        return rule

    return register


def not_differentiable(reason: str, *op_types: type[Op]) -> None:
    """Declare that these op classes have no gradient, and why."""
    NOT_DIFFERENTIABLE.update(dict.fromkeys(op_types, reason))
