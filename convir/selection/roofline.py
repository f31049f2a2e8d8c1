"""Predicting how long a program takes: each call at the rate that the machine reached with calls of its kind.

The roofline (Williams, Waterman and Patterson, *Roofline: An Insightful Visual Performance Model for Multicore
Architectures*, CACM 2009), call by call: a product takes as long as its operations at the rate of its size, or as its
bytes take to move, whichever is longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from convir.ir import Graph, Node
from convir.runtime.calls import Call, Loops, Move, Product
from convir.runtime.kernel_set import KernelSet
from convir.selection.figures import Figures

#: Bytes of the largest element that NumPy has a loop of its own for: a complex128.
FUNDAMENTAL = 16


@dataclass(frozen=True)
class Prediction:
    """Seconds that something is expected to take.

    Attributes:
        seconds: in all.
        computing: of these, in matrix products and compiled loops that operations bound.
        moving: in those, and in passes over arrays, that bytes bound.
    """

    seconds: float
    computing: float
    moving: float

    def __add__(self, other: Prediction) -> Prediction:
        return Prediction(self.seconds + other.seconds, self.computing + other.computing, self.moving + other.moving)

    @property
    def bound(self) -> str:
        """What takes the larger part: ``compute`` or ``memory``."""
        return "compute" if self.computing >= self.moving else "memory"


NOTHING = Prediction(0.0, 0.0, 0.0)


def predict_nodes(nodes: Iterable[Node], kernels: KernelSet, figures: Figures) -> Prediction | None:
    """Seconds of these nodes one after the other; None where one runs Python of which nothing is known."""
    total = NOTHING
    for node in nodes:
        calls = kernels.calls(node)
        if calls is None:
            return None
        for call in calls:
            total += predict_call(call, figures)
    return total


def predict_call(call: Call, figures: Figures) -> Prediction:
    """Seconds of one call."""
    if isinstance(call, Product):
        computing = call.flops / figures.gflops(call.m, call.k, call.n) / 1e9
        return _larger(computing, call.nbytes / figures.gbytes(call.nbytes) / 1e9, figures.call_seconds)
    if isinstance(call, Move):
        return _larger(0.0, _moving(call, figures), figures.call_seconds)
    assert isinstance(call, Loops)
    assert figures.cycle_seconds is not None, "figures of a backend that compiles loops"
    return _larger(call.cycles * figures.cycle_seconds, call.nbytes / figures.gbytes(call.nbytes) / 1e9, 0.0)


def _moving(move: Move, figures: Figures) -> float:
    """Bytes at the rate of their number, or elements one by one; and the loops."""
    by_bytes = move.nbytes / figures.gbytes(move.nbytes) / 1e9
    element = figures.element_seconds if move.width <= FUNDAMENTAL else figures.wide_seconds
    by_element = move.elements * element if move.strided else 0.0
    return max(by_bytes, by_element) + move.loops * figures.loop_seconds


def _larger(computing: float, moving: float, call: float) -> Prediction:
    seconds = max(computing, moving) + call
    return Prediction(seconds, seconds, 0.0) if computing >= moving else Prediction(seconds, 0.0, seconds)


def depending_on(graph: Graph, names: Collection[str]) -> list[Node]:
    """The nodes that depend on one of these values: without what follows from constants and parameters alone."""
    known, found = set(names), []
    for node in graph.nodes:
        if any(value.name in known for value in node.inputs):
            found.append(node)
            known |= {value.name for value in node.outputs}
    return found
