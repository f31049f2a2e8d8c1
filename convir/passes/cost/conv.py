"""Costs of convolution and its gradients."""

from __future__ import annotations

from convir.ir import TensorType
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Conv2d)
def conv2d(op: Conv2d, operands: Types, results: Types) -> Cost:
    """``N * OH * OW * O * C/groups * KH * KW`` MACs.

    Taps that fall on padding count, as everywhere in the literature. Pointwise: an addition an output element
    for the bias, and the fused activation.
    """
    (result,) = results
    biased = len(operands) > 2
    return Cost(macs=_macs(result, operands[1].shape)) + epilogue(op.activation, result.size, biased)


@cost_rule(Conv2dGradWeight)
def conv2d_grad_weight(op: Conv2dGradWeight, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution: each of its products once, of cotangent and input.

    PyTorch's counter agrees for ``groups=1``; with groups it forgets to divide the input channels and gives
    ``groups`` times as many.
    """
    return Cost(macs=_macs(operands[0], results[0].shape))


@cost_rule(Conv2dGradInput)
def conv2d_grad_input(op: Conv2dGradInput, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution: each of its products once, of cotangent and weight."""
    return Cost(macs=_macs(operands[0], operands[1].shape))


def _macs(result: TensorType, weight: tuple[int, ...]) -> int:
    """One MAC for each element of the forward ``result`` and each weight its filter has."""
    _, per_group, rows, columns = weight
    return result.size * per_group * rows * columns
