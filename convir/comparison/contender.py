"""Running compiled models in turns, every step timed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.compiled import Compiled, compile
from convir.ir import Graph, Node, Value
from convir.passes.manager import Pass

Array = NDArray[Any]


def origin_of(node: Node) -> str:
    """Name of the model node that ``node`` computes a part of; its own where it comes from none."""
    return node.origin or node.name


@dataclass(frozen=True)
class Run:
    """Seconds of one run: of each layer, and of all."""

    layers: Mapping[str, float]
    total: float


def sample(value: Value, stream: int) -> Array:
    """Random data for an input, the same at every call; whole numbers are 0 or 1, valid as labels and as flags."""
    generator = np.random.default_rng(stream % 2**32)
    if value.type.is_float:
        return generator.standard_normal(value.type.shape).astype(value.type.dtype)
    return generator.integers(0, 2, value.type.shape).astype(value.type.dtype)


class Contender:
    """One lowering of a graph, ready to run, and its runs so far.

    Attributes:
        lowering: name of the strategy.
        compiled: the compiled graph.
        results: what the first run gave: outputs, then gradients.
    """

    def __init__(self, lowering: str, graph: Graph, passes: Sequence[Pass]) -> None:
        self.lowering = lowering
        self.compiled: Compiled = compile(graph, passes=passes, tile=sys.maxsize)
        self.results: list[Array] = []
        self._runs: list[Run] = []
        self._spent = 0.0

    @cached_property
    def computed_by(self) -> Mapping[str, str]:
        """Layer -> the strategy that computes it, for layers that this one refuses."""
        return {row.node: row.strategy for row in self.compiled.lowering.refused}

    @property
    def cotangents(self) -> tuple[Value, ...]:
        """What the backward reads and the forward does not make."""
        backward = self.compiled.backward_graph
        if backward is None:
            return ()
        made = {value.name for value in self.compiled.graph.values()}
        return tuple(value for value in backward.inputs if value.name not in made)

    @property
    def runs(self) -> list[Run]:
        """The runs that count: the first is a warm-up if others follow."""
        return self._runs[1:] or self._runs

    def run(self, inputs: Sequence[Array], cotangents: Sequence[Array]) -> None:
        """Run forward, and backward where there is one, and note the seconds."""
        halves = [list(zip(self.compiled.program.model.inputs, inputs, strict=True))]
        if self.compiled.backward_graph is not None:
            halves.append(list(zip(self.cotangents, cotangents, strict=True)))
        layers: dict[str, float] = {}
        results: list[Array] = []
        total = 0.0
        begin = time.perf_counter()
        for index, data in enumerate(halves):
            total += self._run_half(index, data, layers, results)
        self._spent += time.perf_counter() - begin
        self.results = self.results or results
        self._runs.append(Run(layers, total))

    def has_time_left(self, seconds: float) -> bool:
        """Whether one more run would end within ``seconds`` in all, going by the last one."""
        return not self._runs or self._spent + self._runs[-1].total <= seconds

    def _run_half(
        self, half: int, data: Sequence[tuple[Value, Array]], layers: dict[str, float], results: list[Array]
    ) -> float:
        """Seconds of one graph; the arena is used again and again, so operands are loaded and results copied."""
        executable = self.compiled.executable
        for value, array in data:
            executable.load(value, array)
        seconds, total = executable.timed(half)
        for step, spent in zip(executable.halves[half], seconds, strict=True):
            origin = origin_of(step.node)
            layers[origin] = layers.get(origin, 0.0) + spent
        if not self.results:
            results += [executable.read(value).copy() for value in self._results_of(half)]
        return total

    def _results_of(self, half: int) -> Sequence[Value]:
        """The model's outputs, or the gradients: without what is kept for the backward."""
        program = self.compiled.program
        return program.graphs[half].outputs[: len(program.wrt) if half else len(program.model.outputs)]


def take_turns(
    contenders: Sequence[Contender],
    inputs: Sequence[Array],
    cotangents: Sequence[Array],
    repeats: int,
    time_budget: float,
) -> None:
    """Run the contenders in turns: a warm-up and ``repeats`` runs each, less where its time is used up."""
    for _ in range(repeats + 1):
        for contender in _with_time_left(contenders, time_budget):
            contender.run(inputs, cotangents)


def _with_time_left(contenders: Sequence[Contender], seconds: float) -> Iterator[Contender]:
    return (contender for contender in contenders if contender.has_time_left(seconds))
