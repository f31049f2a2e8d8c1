"""What was chosen for each convolution, what else there is, what was refused, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convir.compiler import Program
from convir.passes.lower_conv import STRATEGIES, Candidate, ConvLayer, LowerConv, LoweringRow
from convir.profiling import Part
from convir.runtime.blas import usable_threads
from convir.selection.explain_tables import explanation_text
from convir.selection.forecast import forecast
from convir.selection.place import Place

#: Name and version of what :meth:`Explanation.to_json` returns.
SCHEMA = "convir.explain/1"


@dataclass(frozen=True)
class LayerChoice:
    """Convolutions that are one problem, and get one answer.

    Attributes:
        layers: names of the model's nodes.
        layer: the problem that each is.
        strategy: what computes them.
        reason: why.
        candidates: every strategy there is, the chosen one too.
    """

    layers: tuple[str, ...]
    layer: ConvLayer
    strategy: str
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def problem(self) -> str:
        """Their shape, in words."""
        return str(self.layer)

    @property
    def run(self) -> str:
        """What times are of, in words."""
        if self.layer.gradients:
            plural = "s" if len(self.layer.gradients) > 1 else ""
            return f"forward and gradient{plural} of {' and '.join(self.layer.gradients)}"
        return "forward, weight folded" if self.layer.frozen else "forward"

    @property
    def chosen(self) -> Candidate:
        """What is known of the chosen strategy; only its name where it was made with other settings than usual."""
        return next((each for each in self.candidates if each.strategy == self.strategy), Candidate(self.strategy))

    @property
    def best_predicted(self) -> Candidate | None:
        """The candidate with the least predicted time, of those that are not excluded."""
        known = [each for each in self.candidates if not each.excluded and each.predicted_seconds is not None]
        return min(known, key=lambda each: each.predicted_seconds or 0.0, default=None)

    def to_json(self) -> dict[str, Any]:
        """``layers, problem, gradients, folded, strategy, reason, candidates``"""
        return {
            "layers": list(self.layers),
            "problem": self.problem,
            "gradients": list(self.layer.gradients),
            "folded": self.layer.frozen,
            "strategy": self.strategy,
            "reason": self.reason,
            "candidates": [each.to_json() for each in self.candidates],
        }


@dataclass(frozen=True)
class Explanation:
    """How each convolution is computed, and why; prints as tables.

    Times are of one run of a convolution by itself: forward, and the gradients that the model asks for.

    Attributes:
        graph: name of the model.
        backend: what runs it.
        threads: how many threads a matrix product uses at most.
        choices: in the model's order; layers of one shape share a choice.
        part: the tile of the batch that times are of; None where the batch is not divided.
    """

    graph: str
    backend: str
    threads: int
    choices: tuple[LayerChoice, ...]
    part: Part | None = None

    def to_json(self) -> dict[str, Any]:
        """``schema, graph, backend, threads, part, choices``; seconds and bytes."""
        choices = [each.to_json() for each in self.choices]
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "backend": self.backend,
            "threads": self.threads,
            "part": self.part and asdict(self.part),
            "choices": choices,
        }

    @property
    def is_measured(self) -> bool:
        """Whether any time was measured."""
        return any(each.seconds is not None for choice in self.choices for each in choice.candidates)

    def __str__(self) -> str:
        return explanation_text(self)


def explain(program: Program, part: Part | None = None) -> Explanation:
    """What the pipeline of ``program`` chose for each convolution, beside what a model of the machine expects.

    Args:
        program: what runs.
        part: the tile of the batch that it runs; None for all of it.
    """
    threads = next((each.threads for each in program.passes if isinstance(each, LowerConv)), 1)
    same: dict[tuple[object, ...], list[LoweringRow]] = {}
    for row in program.lowering.rows:
        same.setdefault((row.layer, row.strategy, row.asked, row.reason), []).append(row)
    choices = tuple(_choice(rows, program, threads) for rows in same.values())
    return Explanation(program.model.name, program.kernels.name, usable_threads(threads), choices, part)


def _choice(rows: Sequence[LoweringRow], program: Program, threads: int) -> LayerChoice:
    row, names = rows[0], tuple(each.node for each in rows)
    expected = tuple(forecast(row.layer, each, Place(program.kernels, threads)) for each in STRATEGIES)
    if row.decision is None:
        reason = row.reason or ("asked for" if row.asked else f"the default of {program.kernels.name}")
        return LayerChoice(names, row.layer, row.strategy, reason, expected)
    return LayerChoice(names, row.layer, row.strategy, row.decision.reason, row.decision.candidates)
