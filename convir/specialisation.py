"""One division of a batch with the memory it runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter, is_not
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.arguments import Arguments
from convir.compiler import build
from convir.execution import Half, execution_of, limited
from convir.ir import ConvirError, ExecutionError, MemoryLimitError, TensorType, Value
from convir.passes.estimate import CostReport, estimate
from convir.passes.manager import Pass
from convir.profiling import Part, Profile, profile
from convir.runtime import machine_bytes
from convir.tiling import Division

Array = NDArray[Any]


class Specialisation:
    """The executables of one division, and how far the last call got.

    Args:
        division: the programs.
        passes: the pipeline that made them, for reports on the whole batch.

    Raises:
        MemoryLimitError: the arenas together are larger than the machine; nothing was allocated.
    """

    def __init__(self, division: Division, passes: Sequence[Pass]) -> None:
        self.division, self.passes, self.program = division, passes, division.program
        self.parameters = _bound(division)
        _require_memory(division.memory.peak_bytes)
        data = {name: holder.data for name, holder in self.parameters.items()}
        self._holders, self._bound = tuple(self.parameters.values()), tuple(data.values())
        self.build = self.program.kernels.prepare([g for part in division.programs.values() for g in part.graphs])
        self._execution = execution_of(division, data)
        self.executable = self._execution.executable
        self._forward = self._execution.halves[0]
        self.inputs = Arguments(division.model.name, "input", division.model.inputs)
        # The thread whose forward waits for its backward.
        self._pending = 0

    @property
    def part(self) -> Part | None:
        """The tile that reports are of; None where the batch is not divided."""
        return self._execution.part

    @cached_property
    def cost(self) -> CostReport:
        """Of the whole batch, by one program for all of it, which is compiled for the report and not allocated."""
        whole = self.program
        if len(self.division.tiles) > 1:
            whole = build(self.division.model, self.passes, self.program.kernels)
        inference, training = (whole.memory, None) if whole.backward is None else (None, whole.memory)
        return estimate(whole.model, lowered=whole.graphs, memory=inference, training_memory=training)

    def call(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Run forward; the results are new arrays."""
        return self._run_forward(self._forward.run_into_new, arrays)

    def forward(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Run forward; the results are read-only and overwritten by the next call."""
        return self._run_forward(self._forward.run, arrays)

    def backward(self, cotangents: Sequence[Any]) -> Mapping[str, Array]:
        """Run backward; the gradients are read-only and overwritten by the next call."""
        half = self._require_backward()
        given = cotangents or self._default_cotangents
        arrays = given if self._cotangents.fit(given) else self._cotangents.of_shape(given)
        self._pending = 0
        half.run(arrays)
        return self._gradients

    def profile(self, arrays: Sequence[Array], backward: bool, repeats: int) -> Profile:
        """Time every step of one tile, the first."""
        if backward and self.program.backward is None:
            raise ExecutionError(_NO_BACKWARD)
        self._require_live()
        self._pending = 0

        def load_cotangents() -> None:
            for value in self.program.cotangents:
                self.executable.read(value).fill(1)

        loads: list[Callable[[], None]] = [lambda: self._execution.load(arrays)]
        with limited(self.executable, self.division.lane_threads):
            every = [*loads, load_cotangents] if backward else loads
            return profile(self.executable, every, self.program.model.name, repeats, self._execution.part)

    @cached_property
    def _gradients(self) -> Mapping[str, Array]:
        return dict(zip(self.program.wrt, self._execution.halves[1].views, strict=True))

    @cached_property
    def _cotangents(self) -> Arguments:
        """Those of the whole batch."""
        outputs = [self.division.model.outputs[place] for place in self.program.of]
        values = [Value(c.name, v.type) for c, v in zip(self.program.cotangents, outputs, strict=True)]
        return Arguments("backward", "cotangent", values)

    @cached_property
    def _default_cotangents(self) -> Sequence[Array]:
        """What stands for no cotangents: 1 for a single number."""
        types = [self.division.model.outputs[place].type for place in self.program.of]
        return [np.ones((), types[0].dtype)] if [type.shape for type in types] == [()] else []

    def _run_forward(
        self, run: Callable[[Sequence[Array]], tuple[Array, ...]], arrays: Sequence[Array]
    ) -> tuple[Array, ...]:
        self._require_live()
        self._pending = 0
        results = run(arrays)
        self._pending = get_ident()
        return results

    def _require_backward(self) -> Half:
        if self.program.backward is None:
            raise ExecutionError(_NO_BACKWARD)
        if self._pending != get_ident():
            reason = "; another thread called in between: compiled.clone() for each" if self._pending else ""
            raise ExecutionError(f"backward needs a forward call before it, one for each backward{reason}")
        return self._execution.halves[1]

    def _require_live(self) -> None:
        if any(map(is_not, map(_DATA, self._holders), self._bound)):
            every = zip(self.parameters.items(), self._bound, strict=True)
            name = next(name for (name, holder), bound in every if holder.data is not bound)
            raise ExecutionError(f"parameter {name} was replaced after compiling (model.to()?); compile again")


_DATA = attrgetter("data")

_NO_BACKWARD = "there is no backward: compiled for inference, or nothing to differentiate by"


def _require_memory(needed: int) -> None:
    """Raise MemoryLimitError unless so many bytes fit the machine."""
    if needed > machine_bytes():
        raise MemoryLimitError(
            f"the memory plan needs {needed / 2**30:.2f} GiB ({needed} bytes), this machine has "
            f"{machine_bytes() / 2**30:.2f} GiB; use a smaller batch or input"
        )


def _bound(division: Division) -> Mapping[str, Any]:
    """The live parameters; raises ConvirError naming those that a graph built by hand does not bind."""
    program = division.program
    needed = {value.name for graph in program.graphs for value in graph.params}
    missing = sorted(needed - set(program.parameters))
    if missing:
        raise ConvirError(f"graph {program.model.name} does not say where its parameters are: bindings lack {missing}")
    for value in program.model.params:
        if value.name in needed:
            _require_array(value, program.parameters[value.name].data)
    return program.parameters


def _require_array(value: Value, array: Array) -> None:
    """Raise ConvirError unless ``array`` can stand for the parameter ``value`` and its views."""
    found = TensorType(array.shape, array.dtype.name)
    if found != value.type:
        raise ConvirError(f"parameter {value} is bound to an array {found}")
    if not array.flags.c_contiguous:
        raise ConvirError(f"parameter {value} is bound to an array that is not contiguous; a copy would not be live")
