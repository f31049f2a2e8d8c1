"""A compiled model: call it, differentiate it, look into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.compiler import Program, as_graph, pipeline
from convir.frontend import nn
from convir.ir import ConvirError, Graph, Node, UnsupportedError
from convir.passes.estimate import CostReport
from convir.passes.fold_constants import BakeParameters
from convir.passes.lower_conv import Lowering, StrategyChoice
from convir.passes.manager import Pass, Stage
from convir.passes.memory import MemoryPlan
from convir.profiling import Profile
from convir.runtime import BuildReport, Executable, kernels_for, program_source, thread_count
from convir.selection import Explanation, Limits, explain, with_choosers
from convir.specialisation import Specialisation
from convir.specialisations import Specialisations
from convir.tiling import Division, Target, checked_tile
from convir.watch import Exclusive, SnapshotWatch, Watch

Array = NDArray[Any]


def compile(
    model: nn.Module | Callable[..., Any] | Graph,
    *specs: Any,
    conv: StrategyChoice | None = None,
    pool: str = "taps",
    inference: bool = False,
    wrt: Sequence[str] | None = None,
    of: Sequence[int] | None = None,
    passes: Sequence[Pass] | None = None,
    backend: str = "numpy",
    threads: int | None = None,
    tile: int | None = None,
    memory_limit: int | None = None,
    max_error: float | None = None,
) -> Compiled:
    """Compile a model.

    Args:
        model: a module, a function of tensors, or a traced graph. Called with other input shapes, a
            module or function is traced again; a graph has its shape rules run, see
            :func:`convir.infer_shapes`.
        specs: shape or TensorType of each input; a graph has its own and takes none.
        conv: lowering strategy: a name for all convolutions, or ``{node or module: strategy}``, where a key may
            be a pattern (``features.*``) and the first that fits holds; None, and for convolutions that are not named,
            the one that suits the backend. A convolution that the name for all refuses gets that one too, see
            :attr:`Compiled.lowering`; one that is refused by the strategy that is named for it is an error.
            ``auto`` in place of a strategy takes the one that a model of this machine expects to be the fastest,
            ``measure`` the one that is, tried once for each shape and kept on disk; see :meth:`Compiled.explain`.
        pool: ``taps`` (vectorised) or ``naive`` (explicit loops).
        inference: snapshot the parameters, fold what follows from them, leave out dropout; no backward.
        wrt: names of the parameters and inputs that ``backward`` returns gradients of; None for all
            floating-point inputs and all parameters that require a gradient.
        of: positions of the outputs that ``backward`` differentiates and takes cotangents of; None for all
            floating-point ones.
        passes: the pipeline to run instead of ``convir.pipeline(conv=..., ...)``.
        backend: ``numpy``; ``numba``, which generates loops and compiles them to machine code (kept on disk); or
            ``auto``: numba where it is installed.
        threads: how many threads a call may use; None for ``CONVIR_NUM_THREADS``, or all CPUs of the process. It runs
            no more lanes side by side than the machine has CPUs, however many are allowed.
        tile: how many samples run together at most; None to choose by the size of the caches, where the model can be
            divided and that pays. See :attr:`Compiled.division`.
        memory_limit: bytes of scratch that a convolution may need at once in a tile of the batch, where ``conv`` is
            ``auto`` or ``measure``; None for any number.
        max_error: the relative error, on random data against float64, that a convolution may have there; None for any.

    Raises:
        TraceError, ShapeError, DTypeError: the model cannot be traced with these shapes.
        ConvirError: ``threads`` or ``tile`` is not a positive integer, ``memory_limit`` or ``max_error`` is no limit.
        UnsupportedError: an unknown strategy or backend, a backend that is not installed, or an op without gradient
            (``inference=True`` needs none); no strategy keeps to the limits, or there is nothing to choose; ``tile`` is
            less than the batch, and the model does not treat each sample by itself; so too
            when it is called with a larger batch.
        MemoryLimitError: the plan is larger than the machine; nothing was allocated.
    """
    target = Target(kernels_for(backend), thread_count(threads), checked_tile(tile))
    limits = Limits(memory_limit, max_error)
    chosen = {"conv": conv, "pool": pool, "inference": inference, "wrt": wrt, "of": of}
    if passes is None:
        conv = with_choosers(conv, target.kernels, limits)
        passes = pipeline(**{**chosen, "conv": conv}, backend=backend)  # type: ignore[arg-type]
    else:
        _require_nothing_else({**chosen, "memory_limit": memory_limit, "max_error": max_error})
    graph = as_graph(model, specs)
    passes = tuple(_with_snapshot(transform, graph) for transform in passes)
    is_snapshot = any(isinstance(transform, BakeParameters) for transform in passes)
    watch = SnapshotWatch(model) if is_snapshot else Watch(model)
    return Compiled(model, passes, target, target.divide(graph, passes), watch)


_DEFAULTS = {"pool": "taps", "inference": False}


def _require_nothing_else(options: Mapping[str, Any]) -> None:
    """Raise ConvirError for options that a pipeline which is given whole would ignore."""
    given = ", ".join(f"{name}=" for name, value in options.items() if value != _DEFAULTS.get(name))
    if given:
        raise ConvirError(f"passes= is the whole pipeline, so {given} would be ignored; give it to convir.pipeline()")


class Compiled:
    """An executable model.

    Calling it with other input shapes compiles that specialisation once and keeps a bounded number
    of them; :meth:`Module.train` and :meth:`Module.eval` are seen by the next call too. It owns its
    memory, so it serves one thread at a time: :meth:`clone` for another.
    """

    def __init__(
        self,
        model: Any,
        passes: tuple[Pass, ...],
        target: Target,
        division: Division,
        watch: Watch,
    ) -> None:
        self._model = model
        self._passes = passes
        self._target = target
        self._alone = Exclusive()
        self._specialisations = Specialisations(model, passes, target, division, watch)

    @property
    def division(self) -> Division:
        """How the last call's batch was divided into tiles (before the first call: that of what was compiled)."""
        return self._current.division

    @property
    def program(self) -> Program:
        """What runs for each tile of the batch, which may be all of it."""
        return self._current.program

    @property
    def graph(self) -> Graph:
        """The lowered graph that a call runs for each tile of the batch."""
        return self.program.forward

    @property
    def backward_graph(self) -> Graph | None:
        """The lowered graph that :meth:`backward` runs; None when compiled for inference."""
        return self.program.backward

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every pass with the graph it made: name, graph, seconds. :func:`convir.dump.dump` writes them to files."""
        return self.program.stages

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The pipeline that made the stages."""
        return self._passes

    @property
    def lowering(self) -> Lowering:
        """Which strategy computes each convolution, which was asked for, and why it is another; prints as a table."""
        return self.program.lowering

    def explain(self) -> Explanation:
        """How each convolution is computed, what else there is, what refuses it, and why; prints as tables.

        Times are of one run of the convolution by itself, with the gradients that the model asks for; where the batch
        is divided, of one tile. Those that were not measured are predicted from a few figures of this machine, which
        are measured when first asked for (a second or a few) and kept on disk.
        """
        return explain(self.program, self._current.part)

    @property
    def memory(self) -> MemoryPlan:
        """Where everything of one tile lives; ``peak_bytes`` is what is allocated for all of them."""
        return self.division.memory

    @property
    def cost(self) -> CostReport:
        """FLOPs, bytes and parameters: the model's beside what the lowered graphs execute."""
        return self._current.cost

    @property
    def executable(self) -> Executable:
        """The bound steps and their arena."""
        return self._current.executable

    @property
    def build(self) -> BuildReport | None:
        """How the loops became machine code, and in what time; None on the numpy backend."""
        return self._current.build

    def source(self, node: Node | str | None = None) -> str:
        """The Python source that the numba backend generated.

        Args:
            node: a node of :attr:`graph` or :attr:`backward_graph`, or its name; None for all, in order.

        Raises:
            UnsupportedError: NumPy runs the node; the message says why.
            ConvirError: there is no such node.
        """
        return program_source(self.program.graphs, self.program.kernels, node)

    def __call__(self, *inputs: Any) -> Any:
        """Run forward.

        Args:
            inputs: one array for each input, of its element type. Another shape, such as another
                batch size, is compiled once.

        Returns:
            One array, or a tuple of them; they belong to the caller.

        Raises:
            ShapeError, DTypeError: the inputs do not fit the model.
        """
        with self._alone:
            arrays = self._specialisations.select(inputs)
            results = self._current.call(arrays)
        return results[0] if len(results) == 1 else results

    def backward(self, *cotangents: Any) -> dict[str, Array]:
        """Gradients of the last call, given the cotangent of each of its floating-point outputs.

        Args:
            cotangents: arrays of the outputs' shapes; may be left out for a single scalar output.

        Returns:
            Name -> gradient, for parameters and inputs; the arrays belong to the caller.

        Raises:
            ExecutionError: before the first call, twice after one call, or compiled for inference.
            ShapeError, DTypeError: a cotangent does not fit its output.
        """
        with self._alone:
            return {name: array.copy() for name, array in self._current.backward(cotangents).items()}

    def run_forward(self, *inputs: Any) -> tuple[Array, ...]:
        """Run forward without copying the results.

        The same as calling, except that one array comes as a tuple of one, and that the arrays are
        read-only views of this model's memory: the next call or backward overwrites them.
        """
        with self._alone:
            arrays = self._specialisations.select(inputs)
            return self._current.forward(arrays)

    def run_backward(self, *cotangents: Any) -> Mapping[str, Array]:
        """Run :meth:`backward` without copying the gradients.

        They are read-only views of this model's memory, the same arrays after every call with one
        input shape: the next call overwrites them.
        """
        with self._alone:
            return self._current.backward(cotangents)

    def profile(self, *inputs: Any, backward: bool = False, repeats: int = 20) -> Profile:
        """Time every step of a call on these inputs, and of its backward (cotangents of one) if asked.

        Where the batch is divided, those are the steps of the first tile, which is the largest, in one thread.

        Raises:
            ShapeError, DTypeError: the inputs do not fit the model.
            ExecutionError: backward is asked for and there is none.
        """
        if repeats < 1:
            raise ConvirError(f"profile needs at least one repeat, got {repeats}")
        with self._alone:
            arrays = self._specialisations.select(inputs)
            return self._current.profile(arrays, backward, repeats)

    def clone(self) -> Compiled:
        """The same model with memory of its own, for another thread; parameters stay shared."""
        return Compiled(self._model, self._passes, self._target, self.division, self._specialisations.watch)

    __copy__ = clone

    def __deepcopy__(self, memo: Any) -> Compiled:
        return self.clone()

    def __reduce__(self) -> Any:
        raise UnsupportedError(
            "a compiled model cannot be pickled, it is bound to its memory; save the model's state_dict() and compile "
            "again where it is loaded"
        )

    def __repr__(self) -> str:
        return f"<compiled {self.graph.name}: {len(self.graph.nodes)} nodes, {self.memory.peak_bytes} arena bytes>"

    @property
    def _current(self) -> Specialisation:
        return self._specialisations.current


def _with_snapshot(transform: Pass, graph: Graph) -> Pass:
    """Parameters are baked as they are now, in other specialisations and clones too."""
    if not isinstance(transform, BakeParameters) or transform.arrays is not None:
        return transform
    return replace(transform, arrays={name: _read_only(item.data) for name, item in graph.bindings.items()})


def _read_only(array: Array) -> Array:
    """A copy that nobody can write to: every specialisation and clone bakes this one."""
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
