"""The cost of one execution of an op, and the registry of the rules that know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convir.ir import Op, TensorType

Types = tuple[TensorType, ...]

#: ``rule(op, operand types, result types) -> Cost``; None where something in the op has no rule.
CostRule = Callable[[Any, Types, Types], "Cost | None"]

#: Op class -> its rule. The class itself and not its base: a new op says what it costs, or is reported as uncounted.
RULES: dict[type[Op], CostRule] = {}

#: Stands for as many multiplications as there are MACs.
_ONE_A_MAC = -1


@dataclass(frozen=True)
class Cost:
    """Scalar operations of one execution; costs add up.

    Attributes:
        macs: multiply-accumulates of convolutions and matrix products, as if padding were data.
        pointwise: every other scalar arithmetic operation, comparison and elementary function (``exp``, ``log``,
            ``sqrt``, ``tanh``), one each, whatever they cost on a machine. Moving an element is none.
        multiplications: those of data with data in convolutions, matrix products and what replaces them, one a MAC
            unless the rule says otherwise. Multiplications by the constants of a transform are pointwise, and none of
            these: the convention of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016,
            by which F(2x2, 3x3) saves a factor of 2.25.
    """

    macs: int = 0
    pointwise: int = 0
    multiplications: int = _ONE_A_MAC

    def __post_init__(self) -> None:
        if self.multiplications == _ONE_A_MAC:
            object.__setattr__(self, "multiplications", self.macs)

    @property
    def flops(self) -> int:
        """Floating-point operations of the multiply-accumulates: 1 MAC = 2 FLOPs.

        The figure that PyTorch's ``FlopCounterMode`` gives; pointwise work is a figure of its own.
        """
        return 2 * self.macs

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.macs - other.macs, self.pointwise - other.pointwise, self.multiplications - other.multiplications
        )

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs, self.pointwise + other.pointwise, self.multiplications + other.multiplications
        )


def cost_rule(*op_classes: type[Op]) -> Callable[[CostRule], CostRule]:
    """Register the decorated function as the cost rule of these op classes.

    Raises:
        ValueError: one of them has a rule already.
    """

    def register(rule: CostRule) -> CostRule:
        for op_class in op_classes:
            if op_class in RULES:
                raise ValueError(f"{op_class.__name__} has two cost rules")
            RULES[op_class] = rule
        return rule

    return register


def cost_of(op: Op, operand_types: Types, result_types: Types) -> Cost | None:
    """What one execution of ``op`` costs, or None where there is no rule: unknown is not zero."""
    rule = RULES.get(type(op))
    return None if rule is None else rule(op, operand_types, result_types)
