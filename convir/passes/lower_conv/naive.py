"""Leave the convolution as it is: its own kernel is the explicit loop nest."""

from __future__ import annotations

from convir.ir import Node, Value
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


def _leave(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    return None


NAIVE = Strategy("naive", "the explicit loop nest, the reference", _leave, _leave, _leave)
