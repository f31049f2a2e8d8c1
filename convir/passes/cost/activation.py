"""Costs of activations and their gradients, and of a fused epilogue."""

from __future__ import annotations

from convir.ir.ops import (
    ACTIVATIONS,
    ActivationGradOp,
    ActivationOp,
    Relu,
    ReluGrad,
    Sigmoid,
    SigmoidGrad,
    Tanh,
    TanhGrad,
)
from convir.passes.cost.registry import Cost, Types, cost_rule

#: Pointwise operations an element, read off the op's equation.
PER_ELEMENT: dict[type[ActivationOp] | type[ActivationGradOp], int] = {
    Relu: 1,  # comparison
    Sigmoid: 4,  # negation, exp, addition, division
    Tanh: 1,  # tanh
    ReluGrad: 1,  # comparison
    SigmoidGrad: 3,  # two multiplications, subtraction
    TanhGrad: 3,  # two multiplications, subtraction
}


@cost_rule(*PER_ELEMENT)
def activation(op: ActivationOp | ActivationGradOp, operands: Types, results: Types) -> Cost:
    """Pointwise, an element: relu and tanh 1, sigmoid 4 (negate, exp, add, divide).

    Their gradients: relu 1 (the comparison that selects), sigmoid and tanh 3.
    """
    return Cost(pointwise=PER_ELEMENT[type(op)] * results[0].size)


def epilogue(activation: str | None, elements: int, biased: bool) -> Cost:
    """Bias (one addition an element) and activation fused into a convolution, matrix product or max pooling."""
    per_element = int(biased) + (PER_ELEMENT[ACTIVATIONS[activation][0]] if activation else 0)
    return Cost(pointwise=per_element * elements)
