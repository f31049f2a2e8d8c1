"""Predicting how long a program takes: each call at the rate that the machine reached with calls of its kind.

The roofline (Williams, Waterman and Patterson, *Roofline: An Insightful Visual Performance Model for Multicore
Architectures*, CACM 2009), call by call. Two things differ from it. Rates of products were measured with operands in
the first caches, so one whose operands are not there takes as long again as they take to come: what it reads is not
there while it computes. And a pass over arrays takes its innermost loops, beside its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from convir.ir import Node
from convir.runtime.calls import Call, Loops, Move, Product
from convir.runtime.kernel_set import KernelSet
from convir.selection.figures import Figures

#: Bytes of the largest element that NumPy has a loop of its own for: a complex128.
FUNDAMENTAL = 16


@dataclass(frozen=True)
class Prediction:
    """Seconds that something is expected to take.

    Attributes:
        computing: in operations: of matrix products, and of compiled loops that they bound.
        moving: in moving bytes: of passes over arrays, of operands that are not in the caches, and of other loops.
    """

    computing: float
    moving: float

    @property
    def seconds(self) -> float:
        """In all."""
        return self.computing + self.moving

    def __add__(self, other: Prediction) -> Prediction:
        return Prediction(self.computing + other.computing, self.moving + other.moving)

    @property
    def bound(self) -> str:
        """What takes the larger part: ``compute`` or ``memory``."""
        return "compute" if self.computing >= self.moving else "memory"


NOTHING = Prediction(0.0, 0.0)


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
        computing = call.flops / figures.gflops(call.m, call.k, call.n) / 1e9 + figures.call_seconds
        return Prediction(computing, call.nbytes * _longer(call.nbytes, figures))
    if isinstance(call, Move):
        return Prediction(0.0, _moving(call, figures) + figures.call_seconds)
    assert isinstance(call, Loops)
    assert figures.cycle_seconds is not None, "figures of a backend that compiles loops"
    computing, moving = call.cycles * figures.cycle_seconds, call.nbytes / figures.gbytes(call.nbytes) / 1e9
    return Prediction(computing, 0.0) if computing >= moving else Prediction(0.0, moving)


def _longer(nbytes: int, figures: Figures) -> float:
    """How much longer a byte takes to come from where so many have room than from the first cache."""
    return max(0.0, 1 / figures.gbytes(nbytes) - 1 / max(figures.copy_gbytes)) / 1e9


def _moving(move: Move, figures: Figures) -> float:
    """Bytes at the rate of their number, or elements one by one; and the loops."""
    by_bytes = move.nbytes / figures.gbytes(move.nbytes) / 1e9
    element = figures.element_seconds if move.width <= FUNDAMENTAL else figures.wide_seconds
    by_element = move.elements * element if move.strided else 0.0
    return max(by_bytes, by_element) + move.loops * figures.loop_seconds
