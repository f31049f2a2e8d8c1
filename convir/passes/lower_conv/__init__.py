"""Lowering convolution: one module a strategy, registered in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convir.ir import Graph, Node, Value
from convir.ir.ops import ConvOp
from convir.passes.lower_conv import choice as _choice
from convir.passes.lower_conv.choice import Choice, Lowering, LoweringRow, Preferences, StrategyChoice
from convir.passes.lower_conv.decision import Candidate, Chooser, Decision
from convir.passes.lower_conv.depthwise import DEPTHWISE
from convir.passes.lower_conv.direct import DIRECT
from convir.passes.lower_conv.fft import FFT
from convir.passes.lower_conv.im2col import IM2COL
from convir.passes.lower_conv.im2col_tiled import IM2COL_TILED, im2col_tiled
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.naive import NAIVE
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.pointwise import POINTWISE
from convir.passes.lower_conv.shift_gemm import SHIFT_GEMM
from convir.passes.lower_conv.stated import Statement, stated
from convir.passes.lower_conv.strategy import Lower, Strategy
from convir.passes.lower_conv.toeplitz import TOEPLITZ
from convir.passes.lower_conv.winograd import WINOGRAD_2X2, WINOGRAD_4X4
from convir.passes.manager import Pass, Stage
from convir.passes.rewrite import Rewriter, rewrite

#: Every strategy there is, in the order in which reports list them.
STRATEGIES: tuple[Strategy, ...] = (
    *(NAIVE, IM2COL, TOEPLITZ, DIRECT, POINTWISE, DEPTHWISE, SHIFT_GEMM, IM2COL_TILED),
    *(WINOGRAD_2X2, WINOGRAD_4X4, FFT),
)

DEFAULT = IM2COL.name

__all__ = [
    "DEFAULT",
    "STRATEGIES",
    "Candidate",
    "Choice",
    "Chooser",
    "ConvLayer",
    "Decision",
    "Lower",
    "LowerConv",
    "Lowering",
    "LoweringRow",
    "Parts",
    "Preferences",
    "Statement",
    "Strategy",
    "StrategyChoice",
    "im2col_tiled",
    "lowering",
    "stated",
    "strategy",
    "taking",
]


def strategy(name: str) -> Strategy:
    """The strategy called ``name``; raises UnsupportedError listing the ones there are."""
    return _choice.named(name, STRATEGIES)


@dataclass(frozen=True)
class LowerConv:
    """``conv2d(x, w, b)  =>  the strategy's ops``, and the same for both gradients

    Attributes:
        choice: a strategy for all convolutions, where those that it refuses get the default, or who chooses one for
            each; or a mapping from names of traced convolutions, or patterns (``features.*``; the first that fits
            holds), to those.
        default: the strategy of convolutions that are not named, or several in order of preference.
        threads: how many threads a matrix product may use where the graph runs, for who chooses.

    Raises:
        UnsupportedError: an unknown strategy; a key that fits no convolution; a strategy that is named for a
            convolution and refuses it; no strategy that a chooser may take.
    """

    choice: StrategyChoice = DEFAULT
    default: str | Strategy | Preferences = DEFAULT
    threads: int = 1
    name: str = "lower_conv"

    def __call__(self, graph: Graph) -> Graph:
        chosen = self.lowering(graph).by_node
        return rewrite(graph, lambda *context: _lower(chosen, *context), self.name)

    def lowering(self, graph: Graph) -> Lowering:
        """What the pass does to each convolution of ``graph``, and why; raises what the pass raises."""
        return _choice.choose(graph, self.choice, self.default, STRATEGIES, self.threads)


def taking(graph: Graph) -> tuple[str, ...]:
    """Names of the strategies that refuse no convolution of ``graph``."""
    return tuple(each.name for each in STRATEGIES if not LowerConv(each).lowering(graph).refused)


def lowering(stages: Sequence[Stage], passes: Sequence[Pass]) -> Lowering:
    """How a pipeline lowered the convolutions: ``stages`` are the graph that it began with and what each pass made."""
    before = zip((stage.graph for stage in stages), passes, strict=False)
    rows = [each.lowering(graph).rows for graph, each in before if isinstance(each, LowerConv)]
    return Lowering(tuple(row for part in rows for row in part))


def _lower(chosen: Mapping[str, Strategy], rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    return chosen[node.origin].lower(rewriter, node, operands) if isinstance(node.op, ConvOp) else None
