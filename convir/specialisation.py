"""One program with the memory it runs in."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.compiler import Program
from convir.ir import ConvirError, DTypeError, ExecutionError, ShapeError, TensorType, Value
from convir.passes.estimate import CostReport, estimate
from convir.profiling import Profile, profile
from convir.runtime import Executable

Array = NDArray[Any]


class Specialisation:
    """One program with its executable, and how far the last call got."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.parameters = _bound(program)
        self.executable = Executable(program.memory, {name: p.data for name, p in self.parameters.items()})
        self._live = [(name, p, self.executable.arrays[name]) for name, p in self.parameters.items()]
        outputs = program.forward.outputs[: len(program.model.outputs)]
        self._results = tuple(self._view(value) for value in outputs)
        gradients = () if program.backward is None else program.backward.outputs
        self._gradients = {name: self._view(value) for name, value in zip(program.wrt, gradients, strict=True)}
        self._cotangents = program.cotangents
        # The thread whose forward waits for its backward.
        self._pending = 0

    @cached_property
    def cost(self) -> CostReport:
        program = self.program
        inference, training = (program.memory, None) if program.backward is None else (None, program.memory)
        return estimate(program.model, lowered=program.graphs, memory=inference, training_memory=training)

    def forward(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        self._require_live()
        for value, array in zip(self.program.model.inputs, arrays, strict=True):
            self.executable.load(value, array)
        self._pending = 0
        self.executable.run(0)
        self._pending = threading.get_ident()
        return self._results

    def backward(self, cotangents: Sequence[Any]) -> Mapping[str, Array]:
        self._require_backward()
        if not cotangents and [value.type.shape for value in self._cotangents] == [()]:
            cotangents = [np.ones((), self._cotangents[0].type.dtype)]
        if len(cotangents) != len(self._cotangents):
            expected = ", ".join(map(str, self._cotangents))
            raise ShapeError(f"backward takes {len(self._cotangents)} cotangents ({expected}), got {len(cotangents)}")
        arrays = [
            as_array(given, value.type, f"cotangent {value.name}", exact=True)
            for given, value in zip(cotangents, self._cotangents, strict=True)
        ]
        for value, array in zip(self._cotangents, arrays, strict=True):
            self.executable.load(value, array)
        self._pending = 0
        self.executable.run(1)
        return self._gradients

    def _view(self, value: Value) -> Array:
        """The array of ``value``, read-only: writing to it would change what other steps read."""
        view = self.executable.read(value).view()
        view.flags.writeable = False
        return view

    def profile(self, arrays: Sequence[Array], backward: bool, repeats: int) -> Profile:
        def load_inputs() -> None:
            for value, array in zip(self.program.model.inputs, arrays, strict=True):
                self.executable.load(value, array)

        def load_cotangents() -> None:
            for value in self._cotangents:
                self.executable.read(value).fill(1)

        if backward and self.program.backward is None:
            raise ExecutionError(_NO_BACKWARD)
        self._require_live()
        self._pending = 0
        loads = [load_inputs, load_cotangents] if backward else [load_inputs]
        return profile(self.executable, loads, self.program.model.name, repeats)

    def _require_backward(self) -> None:
        if self.program.backward is None:
            raise ExecutionError(_NO_BACKWARD)
        if self._pending != threading.get_ident():
            reason = "; another thread called in between: compiled.clone() for each" if self._pending else ""
            raise ExecutionError(f"backward needs a forward call before it, one for each backward{reason}")

    def _require_live(self) -> None:
        for name, parameter, bound in self._live:
            if parameter.data is not bound:
                raise ExecutionError(f"parameter {name} was replaced after compiling (model.to()?); compile again")


_NO_BACKWARD = "there is no backward: compiled for inference, or nothing to differentiate by"


def _bound(program: Program) -> Mapping[str, Any]:
    """The live parameters; raises ConvirError naming those that a graph built by hand does not bind."""
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


def as_array(given: Any, type: TensorType, label: str, exact: bool = False) -> Array:
    """``given`` as an array of the type; raises DTypeError or ShapeError, and never casts."""
    try:
        array = np.asarray(given)
    except (ValueError, RuntimeError) as error:  # a ragged list; a PyTorch tensor that requires a gradient
        raise ShapeError(f"{label} must be {type}: {error}") from None
    # The comparison is quick; the name also matches arrays of the other byte order, which copying converts.
    if array.dtype != type.dtype and array.dtype.name != type.dtype:
        hint = f"x.astype({type.dtype!r})" if isinstance(given, np.ndarray) else f"np.asarray(x, {type.dtype!r})"
        found = (
            array.dtype.name if isinstance(given, np.ndarray) else f"{given.__class__.__name__} ({array.dtype.name})"
        )
        raise DTypeError(f"{label} must be {type.dtype}, got {found}; convert it: {hint}")
    if array.ndim != type.rank or (exact and array.shape != type.shape):
        found = "x".join(map(str, array.shape)) or "a scalar"
        raise ShapeError(f"{label} must be {type}, got shape {list(array.shape)} ({found})")
    return array
