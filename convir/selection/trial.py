"""A layer by itself under one strategy: planned, and run where that is wanted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convir.compiler import Program, build, pipeline
from convir.ir import TensorType
from convir.passes.lower_conv import ConvLayer, Strategy
from convir.passes.lower_conv.layer import BIAS, RESULT, WEIGHT
from convir.runtime import Executable, KernelSet
from convir.runtime.arena import Arena
from convir.runtime.blas import blas_threads
from convir.runtime.kernels import Array


@dataclass(frozen=True)
class Trial:
    """A layer under a strategy.

    Attributes:
        layer: what is computed.
        strategy: how.
        program: what runs for it, with the gradients that the layer is asked for; where the weight is a constant,
            without what follows from it alone.
    """

    layer: ConvLayer
    strategy: Strategy
    program: Program

    @staticmethod
    def of(
        layer: ConvLayer, strategy: Strategy, kernels: KernelSet, parameters: Mapping[str, Any] | None = None
    ) -> Trial:
        """Compile the layer; raises UnsupportedError where the strategy refuses it.

        Args:
            layer: what to compute.
            strategy: how.
            kernels: what runs it.
            parameters: what the weight and the bias are bound to; None where nothing runs.
        """
        chosen: dict[str, Any] = {"conv": {RESULT: strategy}, "backend": kernels.name}
        passes = pipeline(**chosen, inference=True) if layer.frozen else pipeline(**chosen, wrt=layer.gradients)
        return Trial(layer, strategy, build(layer.alone(parameters), passes, kernels))


class Bench:
    """A trial that runs, on random numbers.

    Args:
        trial: compiled with :func:`random_parameters`.
        arena: memory that others may use between runs; None for its own.
        operands: (type, number) -> the operands that others of the same layer have drawn, and it draws for them.
    """

    def __init__(
        self,
        trial: Trial,
        arena: Arena | None = None,
        operands: dict[tuple[TensorType, int], Array] | None = None,
    ) -> None:
        program = trial.program
        self.trial = trial
        program.kernels.prepare(program.graphs)
        data = {name: holder.data for name, holder in program.parameters.items()}
        self._executable = Executable(program.memory, data, program.kernels, arena)
        inputs = program.graphs[0].inputs[: len(program.model.inputs)]
        drawn = {} if operands is None else operands
        self._given = [
            [(value, _drawn(drawn, value.type, stream)) for stream, value in enumerate(values, first)]
            for first, values in ((0, inputs), (len(inputs), program.cotangents))
        ]

    def run(self, threads: int) -> float:
        """Seconds of the forward, and of the backward if there is one."""
        with blas_threads(threads):
            return sum(self._run(half) for half in range(len(self.trial.program.graphs)))

    def results(self) -> tuple[Array, ...]:
        """The result, then the gradients, of a run."""
        program = self.trial.program
        counts = (len(program.model.outputs), len(program.wrt))
        found: list[Array] = []
        for half, (graph, count) in enumerate(zip(program.graphs, counts, strict=False)):
            self._run(half)
            # What comes next may overwrite it.
            found += [self._executable.read(value).copy() for value in graph.outputs[:count]]
        return tuple(found)

    def _run(self, half: int) -> float:
        """Seconds of one graph; its operands are loaded before, as what came before may have overwritten them."""
        for value, array in self._given[half]:
            self._executable.load(value, array)
        begin = time.perf_counter()
        self._executable.run(half)
        return time.perf_counter() - begin


@dataclass(frozen=True)
class Fixed:
    """A parameter that nobody trains further."""

    data: Array
    requires_grad: bool = True


def random_parameters(layer: ConvLayer, dtype: str) -> Mapping[str, Fixed]:
    """A weight, and a bias if there is one: the same numbers in every element type."""
    types = {WEIGHT: layer.weight} | ({BIAS: layer.weight.with_shape(layer.weight.shape[:1])} if layer.biased else {})
    return {name: Fixed(numbers(type, -1 - stream).astype(dtype)) for stream, (name, type) in enumerate(types.items())}


def _drawn(drawn: dict[tuple[TensorType, int], Array], type: TensorType, stream: int) -> Array:
    if (type, stream) not in drawn:
        drawn[type, stream] = numbers(type, stream)
    return drawn[type, stream]


def numbers(type: TensorType, stream: int) -> Array:
    """Random numbers, the same at every call and in every element type: normally distributed ones, or else 0 and 1.

    Those are valid as labels and as flags.
    """
    generator = np.random.default_rng(stream % 2**32)
    drawn = generator.standard_normal(type.shape, "float32") if type.is_float else generator.integers(0, 2, type.shape)
    return drawn.astype(type.dtype)
