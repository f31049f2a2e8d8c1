"""Lowering convolution: one module a strategy, registered in one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convir.ir import Graph, Node, UnsupportedError, Value
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp
from convir.passes.lower_conv.direct import DIRECT
from convir.passes.lower_conv.im2col import IM2COL
from convir.passes.lower_conv.naive import NAIVE
from convir.passes.lower_conv.strategy import Lower, Strategy
from convir.passes.lower_conv.toeplitz import TOEPLITZ
from convir.passes.rewrite import Rewriter, rewrite

#: Every strategy there is, in the order in which reports list them.
STRATEGIES: tuple[Strategy, ...] = (NAIVE, IM2COL, TOEPLITZ, DIRECT)

DEFAULT = IM2COL.name

#: One strategy name for all convolutions, or one for each node name; unnamed ones get the default.
StrategyChoice = str | Mapping[str, str]

__all__ = ["DEFAULT", "STRATEGIES", "Lower", "LowerConv", "Strategy", "StrategyChoice", "strategy"]


def strategy(name: str) -> Strategy:
    """The strategy called ``name``; raises UnsupportedError listing the ones there are."""
    for candidate in STRATEGIES:
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in STRATEGIES)
    raise UnsupportedError(f"unknown lowering strategy {name!r} for conv2d; there are: {known}")


@dataclass(frozen=True)
class LowerConv:
    """``conv2d(x, w, b)  =>  the strategy's ops``, and the same for both gradients

    Attributes:
        choice: a strategy name, or a mapping from the traced convolution's node name to one.
        default: the strategy of convolutions that the mapping does not name.

    Raises:
        UnsupportedError: an unknown strategy, or a node name that is not a convolution.
    """

    choice: StrategyChoice = DEFAULT
    default: str = DEFAULT
    name: str = "lower_conv"

    def __call__(self, graph: Graph) -> Graph:
        origins = {node.origin for node in graph.nodes if isinstance(node.op, ConvOp)}
        chosen = self._by_origin(origins)
        return rewrite(graph, lambda *context: _lower(chosen, *context), self.name)

    def _by_origin(self, origins: set[str]) -> dict[str, Strategy]:
        if not isinstance(self.choice, Mapping):
            return dict.fromkeys(origins, strategy(self.choice))
        unknown = sorted(set(self.choice) - origins)
        if unknown:
            known = ", ".join(sorted(origins)) or "none"
            raise UnsupportedError(f"conv= names {', '.join(unknown)}, but the convolutions are: {known}")
        return {origin: strategy(self.choice.get(origin, self.default)) for origin in origins}


def _lower(chosen: Mapping[str, Strategy], rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    if not isinstance(node.op, ConvOp):
        return None
    rules: dict[type, Lower] = {
        Conv2d: chosen[node.origin].conv2d,
        Conv2dGradInput: chosen[node.origin].grad_input,
        Conv2dGradWeight: chosen[node.origin].grad_weight,
    }
    return rules[type(node.op)](rewriter, node, operands)
