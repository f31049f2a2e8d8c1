"""The state of one trace: which modules are running, what has been recorded, and how it will be named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from convir.frontend.source import user_line
from convir.ir import (
    Assumption,
    Builder,
    ConvirError,
    ExecutionError,
    Graph,
    Node,
    Op,
    Provenance,
    Source,
    TensorType,
    TraceError,
    Value,
    describe_place,
)

if TYPE_CHECKING:
    from convir.frontend.nn.module import Module
    from convir.frontend.nn.parameter import Parameter

#: A context variable, so that each thread traces on its own and a trace inside a trace is independent of it.
_active: ContextVar[Recording | None] = ContextVar("convir_recording", default=None)


class Running(NamedTuple):
    """A module whose forward is on the stack."""

    module: Module
    scope: str


class Recording:
    """Collects the nodes of one trace.

    Values have provisional names while the model runs. The final ones are given at the end, when it
    is known which node computes the result of which module.
    """

    def __init__(self, name: str, root: Module | None) -> None:
        self._draft = Builder(name)
        self._root = root
        self._inputs: list[tuple[str, Value]] = []
        self._running: list[Running] = []
        self._named_after: dict[str, str] = {}
        # The objects are kept beside their ids, which would otherwise be used again once they are gone.
        self._parameters: dict[int, tuple[str, Parameter]] = {}
        self._scopes: dict[int, Running] = {}
        self._used: dict[int, Value] = {}
        self._assumed: dict[tuple[str, int], tuple[int, Source | None]] = {}
        if root is not None:
            self._register(root, "")

    @contextmanager
    def active(self) -> Iterator[None]:
        """Everything symbolic inside is recorded here."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    @contextmanager
    def inside(self, module: Module) -> Iterator[None]:
        """What is recorded inside belongs to ``module``."""
        scope = self._scope_of(module)
        before = len(self._draft)
        self._running.append(Running(module, scope))
        try:
            yield
        finally:
            self._running.pop()
        made = self._draft.latest(len(self._draft) - before)
        is_leaf = next(module.named_children(), None) is None
        if made and is_leaf and id(module) in self._scopes:
            self._named_after[made[-1].name] = scope.rpartition(".")[2]

    @property
    def scope(self) -> str:
        """Path of the innermost module that is running."""
        return self._running[-1].scope if self._running else ""

    @property
    def source(self) -> Source | None:
        """The user's line that is being recorded; where there is none, the line that made the running module."""
        return user_line() or (self._running[-1].module._made_at if self._running else None)

    def input(self, name: str, type: TensorType) -> Value:
        """Declare a graph input."""
        value = self._draft.input(name, type)
        self._inputs.append((name, value))
        return value

    def assume(self, value: Value, axis: int) -> None:
        """Note that the user's code computes with a size, or branches on it."""
        self._assumed.setdefault((value.name, axis), (value.type.shape[axis], user_line()))

    def emit(self, op: Op, operands: Sequence[Value]) -> Value:
        """Record a node; a shape or type error names the module and the user's line."""
        self._draft.provenance = Provenance(self.scope, self.source)
        return self._draft.emit(op, *operands)

    def parameter(self, parameter: Parameter) -> Value:
        """The graph parameter that stands for ``parameter``.

        Raises:
            TraceError: the traced model does not own it, so it has no name.
        """
        if id(parameter) in self._used:
            return self._used[id(parameter)]
        if id(parameter) not in self._parameters:
            self._adopt(parameter)
        name = self._parameters[id(parameter)][0]
        value = self._used[id(parameter)] = self._draft.param(name, parameter.type)
        return value

    def finish(self, outputs: Sequence[Value]) -> Graph:
        """The graph, with its final names. Parameters that were never used are left out."""
        graph = Builder(self._draft.name)
        final: dict[str, Value] = {}
        bindings: dict[str, Parameter] = {}
        # Parameters first: their names are the state dict's, so an input or a node gives way.
        for key, (name, parameter) in self._parameters.items():
            if key in self._used:
                final[self._used[key].name] = graph.param(name, parameter.type)
                bindings[name] = parameter
        for name, value in self._inputs:
            final[value.name] = graph.input(name, value.type)
        for node in self._draft.nodes:
            graph.append(self._renamed(node, graph, final))
        assumptions = [
            Assumption(final[name].name, axis, size, source) for (name, axis), (size, source) in self._assumed.items()
        ]
        traced = graph.finish([final[value.name] for value in outputs], bindings)
        return traced.replace(assumptions=tuple(assumptions))

    def _renamed(self, node: Node, graph: Builder, final: dict[str, Value]) -> Node:
        """``node`` under its final names. A leaf module's result is called what the module is called."""
        (value,) = node.outputs
        module_name = self._named_after.get(value.name, "")
        base = module_name if module_name.isidentifier() else node.op.name
        result = final[value.name] = Value(graph.reserve(base), value.type)
        operands = tuple(final[operand.name] for operand in node.inputs)
        return replace(node, inputs=operands, outputs=(result,), origin=result.name)

    def _scope_of(self, module: Module) -> str:
        if id(module) not in self._scopes and self._root is None:
            self._register(module, self._unique(type(module).__name__.lower()))
        known = self._scopes.get(id(module))
        # A module made inside forward (nn.ReLU()(x)) has no path of its own.
        return known.scope if known else self.scope

    def _register(self, module: Module, prefix: str) -> None:
        for path, child in module.named_modules(prefix=prefix):
            self._scopes.setdefault(id(child), Running(child, path))
        for name, parameter in module.named_parameters(prefix=prefix):
            self._parameters.setdefault(id(parameter), (name, parameter))

    def _adopt(self, parameter: Parameter) -> None:
        """Name a parameter that no registered module owns: a plain function may use one directly."""
        if self._root is None:
            self._parameters[id(parameter)] = (self._unique("parameter"), parameter)
            return
        raise TraceError(
            f"uses a parameter {parameter.type} that {type(self._root).__name__} does not own, so it has no name and "
            "would not be trained or saved; keep modules in an attribute, nn.Sequential or nn.ModuleList (not in a "
            "plain list or dict), and make them in __init__ (not in forward)",
            place("forward"),
        )

    def _unique(self, base: str) -> str:
        """``base``, or ``base_1``, ...: a prefix that no parameter or scope has yet."""
        names = [name for name, _ in self._parameters.values()] + [scope for _, scope in self._scopes.values()]
        taken = {name.partition(".")[0] for name in names}
        candidates = (base if i == 0 else f"{base}_{i}" for i in range(len(taken) + 1))
        return next(name for name in candidates if name not in taken)


def active() -> Recording | None:
    """The recording of the trace that is running in this thread, if one is."""
    return _active.get()


def required(what: str) -> Recording:
    """The active recording; raises ExecutionError where there is none."""
    recording = _active.get()
    if recording is not None:
        return recording
    raise ExecutionError(
        "only records a node of a graph, and no trace is running; write it in a model's forward (or a function) and "
        "run that with convir.compile(model, shape)(x), or look at it with convir.trace(model, shape)",
        place(what),
    )


def place(what: str) -> str:
    """``conv2d at features.3 (net.py:12)`` for what is happening now."""
    recording = _active.get()
    if recording is None:
        return describe_place(what, "", user_line())
    return describe_place(what, recording.scope, recording.source)


@contextmanager
def placed(what: str) -> Iterator[None]:
    """Errors raised inside say where in the user's model they happened: an op's own checks know its name only."""
    try:
        yield
    except TraceError:
        raise  # a question that a tensor cannot answer: already placed, with a name of its own
    except ConvirError as error:
        raise type(error)(error.message, place(what)) from None
