"""Lowering pooling from explicit loops to one vectorised step for each kernel tap."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir import Graph, Node, Op, Value
from convir.ir.ops import (
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
)
from convir.passes.attributes import common_attributes
from convir.passes.rewrite import Rewriter, rewrite

_LOWERED: dict[type[Op], type[Op]] = {
    MaxPool2d: MaxPool2dTaps,
    MaxPool2dGrad: MaxPool2dGradTaps,
    AvgPool2d: AvgPool2dTaps,
    AvgPool2dGrad: AvgPool2dGradTaps,
}


@dataclass(frozen=True)
class LowerPool:
    """``max_pool2d(x)  =>  max_pool2d_taps(x)``; average pooling and both gradients likewise"""

    name: str = "lower_pool"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _lower, self.name)


def _lower(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    target = _LOWERED.get(type(node.op))
    if target is None:
        return None
    return rewriter.emit(target(**common_attributes(node.op, target)), *operands, name=node.name)
