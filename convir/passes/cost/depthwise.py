"""Costs of depthwise convolution."""

from __future__ import annotations

from math import prod

from convir.ir import TensorType
from convir.ir.ops import DepthwiseConv2d, DepthwiseConv2dGradInput, DepthwiseConv2dGradWeight
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(DepthwiseConv2d)
def depthwise_conv2d(op: DepthwiseConv2d, operands: Types, results: Types) -> Cost:
    """``C*M * KH*KW * ((OH-1)*W + OW) * N`` MACs; pointwise the bias and the fused activation.

    A run goes through the ends of rows, where no window is: W - OW columns of each row but the last.
    """
    (image, weight, *bias), (result,) = operands, results
    return Cost(macs=_run_macs(result, image, weight)) + epilogue(op.activation, result.size, bool(bias))


@cost_rule(DepthwiseConv2dGradInput)
def depthwise_conv2d_grad_input(op: DepthwiseConv2dGradInput, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution; its cotangent is 0 at the ends of rows."""
    return Cost(macs=_run_macs(operands[0], results[0], operands[1]))


@cost_rule(DepthwiseConv2dGradWeight)
def depthwise_conv2d_grad_weight(op: DepthwiseConv2dGradWeight, operands: Types, results: Types) -> Cost:
    """A MAC for each element of the cotangent and each tap."""
    return Cost(macs=operands[0].size * prod(op.kernel_size))


def _run_macs(result: TensorType, image: TensorType, weight: TensorType) -> int:
    """One for each weight and each element of its run."""
    _, rows, columns, batch = result.shape
    return weight.size * ((rows - 1) * image.shape[2] + columns) * batch
