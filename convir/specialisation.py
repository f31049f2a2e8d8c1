"""One division of a batch with the memory it runs in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.assembly import Assembly, add_up, cotangent_part, samples
from convir.compiler import build
from convir.ir import ConvirError, DTypeError, ExecutionError, MemoryLimitError, ShapeError, TensorType, Value
from convir.passes.batch import PartialSum, PerSample, Role, Whole
from convir.passes.estimate import CostReport, estimate
from convir.passes.manager import Pass
from convir.profiling import Profile, profile
from convir.runtime import Arena, Executable, blas_threads, machine_bytes, parallel
from convir.tiling import Division

Array = NDArray[Any]


class Specialisation:
    """The executables of one division, and how far the last call got.

    A tile keeps its memory from the forward to the backward, so where there is a backward every tile
    has an executable of its own; otherwise every lane has one and runs tile after tile in it.

    Args:
        division: the programs.
        passes: the pipeline that made them, for reports on the whole batch.

    Raises:
        MemoryLimitError: the arenas together are larger than the machine; nothing was allocated.
    """

    def __init__(self, division: Division, passes: Sequence[Pass]) -> None:
        self.division, self.passes, self.program = division, passes, division.program
        # One tile is the whole batch, whose arrays need no assembling.
        self._is_whole = division.roles is None
        self.parameters = _bound(division)
        self._data = {name: p.data for name, p in self.parameters.items()}
        self._live = [(name, p, self._data[name]) for name, p in self.parameters.items()]
        _require_memory(division.memory.peak_bytes)
        self._executables = [self._owned(owner) for owner in range(division.owners)]
        self.executable = self._executables[0][division.tiles[0].size]
        self._roles = _Roles(division)
        self._outputs = [Assembly(self._roles.of(v), v.type, division.tiles) for v in division.model.outputs]
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
        if self._is_whole:
            return tuple(view.copy() for view in self.forward(arrays))
        results = tuple(np.empty(value.type.shape, value.type.dtype) for value in self.division.model.outputs)
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
        self._run_tiles(lambda index, executable: self._run_backward(index, executable, arrays))
        if not self._is_whole:
            self._assemble_gradients()
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

        loads: list[Callable[[], None]] = [lambda: self._load(0, self.executable, arrays)]
        with self._limited():
            every = [*loads, load_cotangents] if backward else loads
            return profile(self.executable, every, self.program.model.name, repeats)

    @property
    def _blas(self) -> int:
        return self.division.threads if self.division.lanes == 1 else 1

    def _owned(self, owner: int) -> dict[int, Executable]:
        """The executables of one tile or lane: one for each size of tile that it runs."""
        division = self.division
        sizes = (division.tiles[owner].size,) if self.program.backward else division.tiles.sizes
        arena = Arena(self.program.memory.arena_bytes)
        return {
            size: Executable(division.programs[size].memory, self._data, self.program.kernels, arena) for size in sizes
        }

    @cached_property
    def _results(self) -> tuple[Array, ...]:
        """Where results are kept: in the arena, or put together from all tiles'."""
        if self._is_whole:
            outputs = self.program.forward.outputs[: len(self.division.model.outputs)]
            return tuple(self.executable.read(value) for value in outputs)
        return tuple(np.empty(value.type.shape, value.type.dtype) for value in self.division.model.outputs)

    @cached_property
    def _result_views(self) -> tuple[Array, ...]:
        return tuple(map(_read_only, self._results))

    @cached_property
    def _gradients(self) -> dict[str, Array]:
        if self.program.backward is None:
            return {}
        outputs = dict(zip(self.program.wrt, self.program.backward.outputs, strict=True))
        if self._is_whole:
            return {name: self.executable.read(value) for name, value in outputs.items()}
        types = {value.name: value.type for value in (*self.division.model.params, *self.division.model.inputs)}
        return {name: np.empty(types[name].shape, types[name].dtype) for name in outputs}

    @cached_property
    def _gradient_views(self) -> dict[str, Array]:
        return {name: _read_only(array) for name, array in self._gradients.items()}

    def _forward(self, arrays: Sequence[Array], results: Sequence[Array]) -> None:
        self._require_live()
        self._pending = 0
        self._run_tiles(lambda index, executable: self._run_forward(index, executable, arrays, results))
        if not self._is_whole:
            for assembly, whole in zip(self._outputs, results, strict=True):
                assembly.finish(whole)
        self._pending = threading.get_ident()

    def _run_tiles(self, run: Callable[[int, Executable], None]) -> None:
        """``run`` for every tile, in as many threads as there are lanes; each takes the next that is left."""
        if self._is_whole:
            with self._limited():
                run(0, self.executable)
            return
        tiles, left = self.division.tiles, iter(range(len(self.division.tiles)))

        def lane(number: int) -> None:
            with self._limited():
                for index in left:
                    owner = index if self.program.backward else number
                    run(index, self._executables[owner][tiles[index].size])

        parallel(lane, self.division.lanes)

    def _limited(self) -> AbstractContextManager[None]:
        """A context in which BLAS leaves the other lanes their threads."""
        return blas_threads(self._blas) if self.executable.by_numpy else _NOTHING

    def _run_forward(
        self, index: int, executable: Executable, arrays: Sequence[Array], results: Sequence[Array]
    ) -> None:
        self._load(index, executable, arrays)
        executable.run(0)
        if self._is_whole:
            return
        values = self.division.programs[self.division.tiles[index].size].forward.outputs
        for assembly, value, whole in zip(self._outputs, values, results, strict=False):
            assembly.put(index, executable.read(value), whole)

    def _load(self, index: int, executable: Executable, arrays: Sequence[Array]) -> None:
        """The tile's part of every input."""
        if self._is_whole:
            for value, array in zip(self.division.model.inputs, arrays, strict=True):
                executable.load(value, array)
            return
        tile = self.division.tiles[index]
        for value, array in zip(self.division.model.inputs, arrays, strict=True):
            role = self._roles.of(value)
            executable.load(value, samples(array, role.axis, tile) if isinstance(role, PerSample) else array)

    def _run_backward(self, index: int, executable: Executable, cotangents: Sequence[Array]) -> None:
        roles = self._roles.of_cotangents()
        for value, role, array in zip(self.program.cotangents, roles, cotangents, strict=True):
            part = array if self._is_whole else cotangent_part(role, array, self.division.tiles, index)
            executable.load(value, part)
        executable.run(1)

    def _assemble_gradients(self) -> None:
        """Gradients of what is the same in every tile add up, in the order of the tiles."""
        tiles = self.division.tiles
        for place, (name, whole) in enumerate(self._gradients.items()):
            parts = []
            for tile, owned in zip(tiles, self._executables, strict=True):
                backward = self.division.programs[tile.size].backward
                assert backward is not None
                parts.append(owned[tile.size].read(backward.outputs[place]))
            role = self._roles.of_gradient(name)
            if isinstance(role, PerSample):
                for tile, part in zip(tiles, parts, strict=True):
                    np.copyto(samples(whole, role.axis, tile), part)
            else:
                add_up(parts, whole)

    def _checked(self, cotangents: Sequence[Any]) -> list[Array]:
        """The cotangents as arrays of the whole batch."""
        values = self._roles.differentiated()
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


_NOTHING = nullcontext()

_NO_BACKWARD = "there is no backward: compiled for inference, or nothing to differentiate by"


class _Roles:
    """What the model's values are when the batch is in tiles; without tiles everything is whole."""

    def __init__(self, division: Division) -> None:
        self.division = division

    def of(self, value: Value) -> Role:
        """Of an input or output of the model."""
        roles = self.division.roles
        return Whole() if roles is None else roles.of[value.name]

    def of_gradient(self, name: str) -> Role:
        """What is the same in every tile has a gradient that adds up; a sample's gradient is its own."""
        roles = self.division.roles
        role = Whole() if roles is None else roles.of[name]
        return role if isinstance(role, PerSample) else PartialSum()

    def differentiated(self) -> list[Value]:
        """The model's outputs that the cotangents belong to."""
        return [self.division.model.outputs[index] for index in self.division.program.of]

    def of_cotangents(self) -> list[Role]:
        """The roles of the differentiated outputs."""
        return [self.of(value) for value in self.differentiated()]


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
