"""One lowering of a graph, ready to run, every step timed."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from convir.comparison.settings import Settings
from convir.compiled import Compiled, compile
from convir.execution import limited
from convir.ir import Graph, Node, Value
from convir.passes.manager import Pass
from convir.runtime.blas import usable_threads
from convir.selection.trial import numbers

Array = NDArray[Any]

#: Arrays for the inputs, and for the cotangents.
Operands = tuple[Sequence[Array], Sequence[Array]]


def origin_of(node: Node) -> str:
    """Name of the model node that ``node`` computes a part of; its own where it comes from none."""
    return node.origin or node.name


@dataclass(frozen=True)
class Run:
    """Seconds of one run: of each layer, and of all."""

    layers: Mapping[str, float]
    total: float


class Contender:
    """One lowering of a graph, ready to run, and its runs so far.

    The batch is not divided, and steps run one after the other in one thread, with as many threads for BLAS as a call
    of the compiled model would give it: in lanes there is no time of a layer, only of a tile of it.

    Attributes:
        lowering: name of the strategy.
        compiled: the compiled graph.
        results: what the first run gave: outputs, then gradients.
        spent: seconds that it took so far.
    """

    def __init__(
        self,
        lowering: str,
        graph: Graph,
        passes: Sequence[Pass],
        backend: str = "numpy",
        threads: int | None = None,
    ) -> None:
        self.lowering = lowering
        self.compiled: Compiled = compile(graph, passes=passes, tile=sys.maxsize, backend=backend, threads=threads)
        self.results: list[Array] = []
        self.spent = 0.0
        self._runs: list[Run] = []

    @property
    def threads(self) -> int:
        """How many BLAS really uses: what was allowed, where it has as many and there is work for them."""
        return usable_threads(self.compiled.division.lane_threads)

    @cached_property
    def strategies(self) -> Mapping[str, str]:
        """Convolution of the model -> the strategy that computes it."""
        return {row.node: row.strategy for row in self.compiled.lowering.rows}

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

    @cached_property
    def operands(self) -> Operands:
        """The same random numbers for every lowering of a graph."""
        inputs = [numbers(value.type, index) for index, value in enumerate(self.compiled.program.model.inputs)]
        return inputs, [numbers(value.type, -1 - index) for index, value in enumerate(self.cotangents)]

    @property
    def runs(self) -> list[Run]:
        """The runs that count: the first is a warm-up if others follow."""
        return self._runs[1:] or self._runs

    def run(self, operands: Operands | None = None) -> None:
        """Run forward, and backward where there is one, on :attr:`operands` or others, and note the seconds."""
        inputs, cotangents = operands or self.operands
        halves = [list(zip(self.compiled.program.model.inputs, inputs, strict=True))]
        if self.compiled.backward_graph is not None:
            halves.append(list(zip(self.cotangents, cotangents, strict=True)))
        layers: dict[str, float] = {}
        results: list[Array] = []
        total = 0.0
        begin = time.perf_counter()
        with limited(self.compiled.executable, self.compiled.division.lane_threads):
            for index, data in enumerate(halves):
                total += self._run_half(index, data, layers, results)
        self.spent += time.perf_counter() - begin
        self.results = self.results or results
        self._runs.append(Run(layers, total))

    @property
    def fastest(self) -> float:
        """Seconds of the fastest run so far; 0 before the first."""
        return min((run.total for run in self._runs), default=0.0)

    def has_time_left(self, seconds: float) -> bool:
        """Whether one more run would end within ``seconds`` in all, going by the last one."""
        return not self._runs or self.spent + self._runs[-1].total <= seconds

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


def contender(lowering: str, graph: Graph, settings: Settings) -> Contender:
    """A contender that is compiled and run as the settings say."""
    return Contender(lowering, graph, settings.passes(lowering), settings.backend, settings.threads)
