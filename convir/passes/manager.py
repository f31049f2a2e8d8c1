"""Running passes: verify after each, keep every stage, time it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from convir.ir import ConvirError, DTypeError, Graph, ShapeError, VerifyError, verify


class Pass(Protocol):
    """A small frozen dataclass with a name; its docstring is its equation."""

    @property
    def name(self) -> str:
        """Lower case with underscores; stands in dumps and in the nodes it makes."""

    def __call__(self, graph: Graph) -> Graph:
        """A new graph that computes the same; ``graph`` is left alone."""


@dataclass(frozen=True)
class Stage:
    """What one pass made.

    Attributes:
        name: the pass's name, or ``trace`` for the graph it all began with.
        graph: the graph after it.
        seconds: how long the pass and its verification took.
    """

    name: str
    graph: Graph
    seconds: float

    def __str__(self) -> str:
        return f"# {self.name} ({self.seconds * 1e3:.1f} ms, {len(self.graph.nodes)} nodes)\n{self.graph}"


def run_passes(graph: Graph, passes: Iterable[Pass]) -> tuple[Stage, ...]:
    """Run ``passes`` in order; the last stage holds the result.

    Raises:
        VerifyError: a pass broke the graph, or returned none; the message names the pass and the node.
    """
    stages = [_stage("trace", graph, time.perf_counter())]
    for transform in passes:
        if not callable(transform) or not isinstance(getattr(transform, "name", None), str):
            raise ConvirError(f"a pass is a callable with a name (see CONTRIBUTING), got {transform!r}")
        begin = time.perf_counter()
        stages.append(_stage(transform.name, _run(transform, stages[-1].graph), begin))
    return tuple(stages)


def _run(transform: Pass, graph: Graph) -> Graph:
    """Shapes that do not fit inside a pass are the pass's fault, not the model's."""
    try:
        return transform(graph)
    except (ShapeError, DTypeError) as error:
        raise VerifyError(f"emitted an op that does not fit: {error}", f"pass {transform.name}") from error


def numbered(stages: Sequence[Stage]) -> list[tuple[str, Stage]]:
    """Stages with their file stems: ``03_fuse_relu``."""
    return [(f"{index:02d}_{stage.name}", stage) for index, stage in enumerate(stages)]


def _stage(name: str, graph: Graph, begin: float) -> Stage:
    if not isinstance(graph, Graph):
        raise VerifyError(f"returned {type(graph).__name__}, a pass returns a Graph", f"pass {name}")
    verify(graph, after=name)
    return Stage(name, graph, time.perf_counter() - begin)
