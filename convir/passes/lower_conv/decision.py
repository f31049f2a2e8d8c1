"""A choice between strategies that somebody makes layer by layer, and what it was made on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.strategy import Strategy


@dataclass(frozen=True)
class Candidate:
    """A strategy that could compute a layer, or why it could not.

    Attributes:
        strategy: its name.
        excluded: why it was not considered; empty where it was.
        predicted_seconds: what the model of the machine expects; None where nothing is expected.
        bound: what takes the larger part of that, ``compute`` or ``memory``; empty without a prediction.
        seconds: median of measured runs; None where it was not measured.
        seconds_lower: their lower quartile.
        seconds_upper: their upper quartile.
        runs: how many runs counted; a few where the first were hopeless, none where it was not measured.
        scratch_bytes: most bytes that it needs at once besides operands and results; None where it was not planned.
        error: relative error on random data against float64; None where it was not measured.
    """

    strategy: str
    excluded: str = ""
    predicted_seconds: float | None = None
    bound: str = ""
    seconds: float | None = None
    seconds_lower: float | None = None
    seconds_upper: float | None = None
    runs: int = 0
    scratch_bytes: int | None = None
    error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """All attributes."""
        return dict(vars(self))


@dataclass(frozen=True)
class Decision:
    """What computes a layer, and what else could.

    Attributes:
        chosen: the strategy.
        candidates: every strategy there is, in the order of the list, the chosen one too.
        reason: why it is the one.
    """

    chosen: Strategy = field(compare=False, repr=False)
    candidates: tuple[Candidate, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """``chosen, reason, candidates``"""
        candidates = [each.to_json() for each in self.candidates]
        return {"chosen": self.chosen.name, "reason": self.reason, "candidates": candidates}


class Chooser(ABC):
    """Who chooses between strategies: in ``conv=``, in place of a strategy."""

    #: What users type for it.
    name: str

    @abstractmethod
    def decide(
        self, layers: Sequence[ConvLayer], known: Sequence[Strategy], threads: int
    ) -> Mapping[ConvLayer, Decision]:
        """A decision for each of these different layers.

        Args:
            layers: those that are to be decided about, each once.
            known: every strategy there is.
            threads: how many threads a matrix product may use where the layers run.

        Raises:
            UnsupportedError: no strategy is left for a layer.
        """
