"""One division of a batch with the memory it runs in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.compiler import build
from convir.ir import ConvirError, DTypeError, ExecutionError, MemoryLimitError, ShapeError, TensorType, Value
from convir.passes.estimate import CostReport, estimate
from convir.passes.manager import Pass
from convir.profiling import Part, Profile, profile
from convir.runtime import machine_bytes
from convir.tile_runner import TileRunner
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
        data = {name: p.data for name, p in self.parameters.items()}
        self._live = [(name, p, data[name]) for name, p in self.parameters.items()]
        self.build = self.program.kernels.prepare([g for part in division.programs.values() for g in part.graphs])
        self._runner = TileRunner(division, data)
        self.executable = self._runner.executable
        # The thread whose forward waits for its backward.
        self._pending = 0

    @cached_property
    def cost(self) -> CostReport:
        """Of the whole batch, by one program for all of it, which is compiled for the report and not allocated."""
        whole = self.program
        if self.division.roles is not None:
            whole = build(self.division.model, self.passes, self.program.kernels)
        inference, training = (whole.memory, None) if whole.backward is None else (None, whole.memory)
        return estimate(whole.model, lowered=whole.graphs, memory=inference, training_memory=training)

    def call(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Run forward; the results are new arrays."""
        if self._runner.is_whole:
            return tuple([view.copy() for view in self.forward(arrays)])
        results = _empty(self.division.model.outputs)
        self._forward(arrays, results)
        return results

    def forward(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Run forward; the results are read-only and overwritten by the next call."""
        self._forward(arrays, self._results)
        return self._result_views

    def backward(self, cotangents: Sequence[Any]) -> Mapping[str, Array]:
        """Run backward; the gradients are read-only and overwritten by the next call."""
        self._require_backward()
        arrays = self._checked(cotangents)
        self._pending = 0
        self._runner.run(1, arrays, tuple(self._gradients.values()))
        return self._gradient_views

    def profile(self, arrays: Sequence[Array], backward: bool, repeats: int) -> Profile:
        """Time every step of one tile, the first."""
        if backward and self.program.backward is None:
            raise ExecutionError(_NO_BACKWARD)
        self._require_live()
        self._pending = 0

        def load_cotangents() -> None:
            for value in self.program.cotangents:
                self.executable.read(value).fill(1)

        loads: list[Callable[[], None]] = [lambda: self._runner.load(arrays)]
        with self._runner.limited():
            every = [*loads, load_cotangents] if backward else loads
            return profile(self.executable, every, self.program.model.name, repeats, self._part)

    @property
    def _part(self) -> Part | None:
        tiles = self.division.tiles
        return None if self._runner.is_whole else Part(tiles[0].size, tiles.batch)

    @cached_property
    def _results(self) -> tuple[Array, ...]:
        """Where results are kept: in the arena, or put together from all tiles'."""
        if self._runner.is_whole:
            outputs = self.program.forward.outputs[: len(self.division.model.outputs)]
            return tuple(self.executable.read(value) for value in outputs)
        return _empty(self.division.model.outputs)

    @cached_property
    def _result_views(self) -> tuple[Array, ...]:
        return tuple(map(_read_only, self._results))

    @cached_property
    def _gradients(self) -> dict[str, Array]:
        if self.program.backward is None:
            return {}
        if self._runner.is_whole:
            outputs = zip(self.program.wrt, self.program.backward.outputs, strict=True)
            return {name: self.executable.read(value) for name, value in outputs}
        values = {value.name: value for value in (*self.division.model.params, *self.division.model.inputs)}
        return dict(zip(self.program.wrt, _empty([values[name] for name in self.program.wrt]), strict=True))

    @cached_property
    def _gradient_views(self) -> dict[str, Array]:
        return {name: _read_only(array) for name, array in self._gradients.items()}

    def _forward(self, arrays: Sequence[Array], results: Sequence[Array]) -> None:
        self._require_live()
        self._pending = 0
        self._runner.run(0, arrays, results)
        self._pending = threading.get_ident()

    def _checked(self, cotangents: Sequence[Any]) -> list[Array]:
        """The cotangents as arrays of the whole batch."""
        values = [self.division.model.outputs[place] for place in self.program.of]
        if not cotangents and [value.type.shape for value in values] == [()]:
            cotangents = [np.ones((), values[0].type.dtype)]
        expected = [Value(c.name, v.type) for c, v in zip(self.program.cotangents, values, strict=True)]
        if len(cotangents) != len(expected):
            listed = ", ".join(map(str, expected))
            raise ShapeError(f"backward takes {len(expected)} cotangents ({listed}), got {len(cotangents)}")
        return [
            as_array(given, value.type, f"cotangent {value.name}", exact=True)
            for given, value in zip(cotangents, expected, strict=True)
        ]

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


def _empty(values: Sequence[Value]) -> tuple[Array, ...]:
    """New arrays for these values."""
    return tuple([np.empty(value.type.shape, value.type.dtype) for value in values])


def _read_only(array: Array) -> Array:
    """A view that nobody can write to: other steps read what is behind it."""
    view = array.view()
    view.flags.writeable = False
    return view


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
