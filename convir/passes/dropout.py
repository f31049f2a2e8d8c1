"""Dropout at inference."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir import Graph, Node, Value
from convir.ir.ops import DropoutMask, Mul
from convir.passes.rewrite import Rewriter, rewrite


@dataclass(frozen=True)
class RemoveDropout:
    """``mul(x, dropout_mask(x, p))  =>  x``"""

    name: str = "remove_dropout"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _remove, self.name)


def _remove(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    if not isinstance(node.op, Mul):
        return None
    for kept, mask in (operands, operands[::-1]):
        producer = rewriter.producer(mask)
        if producer is not None and isinstance(producer.op, DropoutMask):
            return kept
    return None
