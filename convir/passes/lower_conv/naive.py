"""Leave the convolution as it is: its own kernel is the explicit loop nest."""

from __future__ import annotations

from convir.ir import Node, Value
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


def _leave(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    return None


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``N * OH * OW * O * C/groups * KH * KW`` MACs, each time."""
    macs = Cost(layer.macs)
    return Parts(macs + layer.epilogue, macs, macs)


NAIVE = Strategy(
    "naive",
    "the explicit loop nest, the reference",
    _leave,
    _leave,
    _leave,
    operations=_operations,
    error_bound=summed,
)
