"""The base of all models and layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from convir.frontend.missing import is_device, refuse_device, refuse_module_method
from convir.frontend.nn.parameter import Parameter
from convir.frontend.nn.state import LoadResult, load_state
from convir.frontend.recording import active, place
from convir.frontend.source import user_line
from convir.ir import ExecutionError, Source, TraceError


class Module:
    """A model, or a part of one: its parameters and sub-modules are its attributes, ``forward`` its computation.

    A subclass sets attributes in ``__init__`` (calling ``super().__init__()`` is allowed, not
    needed) and defines ``forward``. Names of parameters and modules follow from the attributes
    (``features.0.weight``), as in PyTorch.
    """

    #: Whether layers that differ (dropout) behave as in training; :meth:`train` and :meth:`eval` set it.
    training: bool = True

    # The user's line that made it. Set in __new__, so that a subclass need not call super().__init__().
    _made_at: Source | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        module._made_at = user_line()
        return module

    def __init__(self) -> None:
        """Takes no arguments, so that a call with arguments nobody reads is an error."""

    if not TYPE_CHECKING:  # type checkers know what is there, and what may be set

        def __setattr__(self, name: str, value: Any) -> None:
            _require_assignable(self, name, value)
            super().__setattr__(name, value)

        def __getattr__(self, name: str) -> Any:
            refuse_module_method(type(self).__name__, name)
            return super().__getattribute__(name)  # Python's own error

    def forward(self, *inputs: Any) -> Any:
        """What the module computes, in terms of symbolic tensors; every subclass defines it."""
        raise TraceError(f"{type(self).__name__} has no forward; define forward(self, x) and return a tensor from it")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run :meth:`forward` inside the trace that is going on; raises ExecutionError outside of one."""
        recording = active()
        if recording is None:
            raise ExecutionError(_call_outside_trace(type(self).__name__, inputs))
        with recording.inside(self):
            return self.forward(*inputs, **options)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of each direct sub-module, each once."""
        seen: set[int] = set()
        for name, child in _children(self):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Each direct sub-module, once."""
        return (child for _, child in Module.named_children(self))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Path and module of this one and all below it, each once, outer before inner."""
        return _walk(self, prefix, set())

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in Module.named_modules(self))

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Name and object of each parameter, each once, in the order of the attributes."""
        owners = Module.named_modules(self, prefix) if recurse else iter([(prefix, self)])
        seen: set[int] = set()
        for path, module in owners:
            for name, parameter in _parameters(module):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield _joined(path, name), parameter

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Each parameter, once."""
        return (parameter for _, parameter in Module.named_parameters(self, recurse=recurse))

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of every parameter's array under its name; a shared parameter stands under each of its names."""
        return {name: np.array(parameter.data) for name, parameter in _every_name(self, "")}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy arrays (or PyTorch tensors) into the parameters of the same names: all of them, or none.

        Args:
            state: name -> array, as :meth:`state_dict` gives it.
            strict: whether names that are missing or unknown are errors; wrong shapes always are.

        Returns:
            The missing and the unexpected names, both empty when ``strict``.

        Raises:
            StateDictError: lists every name that is missing, unexpected, of another shape or not a
                real array. The model is then unchanged.
        """
        return load_state(type(self).__name__, dict(_every_name(self, "")), state, strict)

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` here and in every sub-module. Graphs that were already traced stay as they are."""
        for module in Module.modules(self):
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """The same as ``train(False)``: dropout does nothing."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let training change every parameter, or none."""
        for parameter in Module.parameters(self):
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, dtype: Any = None, *, device: Any = None) -> Self:
        """Change the element type of every parameter, to float32 or float64.

        Raises:
            DTypeError: any other element type.
            UnsupportedError: a device; there is none to choose.
        """
        refuse_device(f"{type(self).__name__}.to", dtype if is_device(dtype) else device)
        for parameter in Module.parameters(self):
            parameter.to(dtype)
        return self

    def double(self) -> Self:
        """Every parameter in float64."""
        return self.to("float64")

    def float(self) -> Self:
        """Every parameter in float32."""
        return self.to("float32")

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` on every sub-module, inner before outer, and on this one."""
        for child in Module.children(self):
            child.apply(function)
        function(self)
        return self

    def add_module(self, name: str, module: Module) -> None:
        """The same as setting an attribute, for names known only at run time; raises TraceError for a bad name."""
        where = place(type(self).__name__)
        if isinstance(module, type):
            raise TraceError(f"entry {name!r} is a class; write {module.__name__}(...), with parentheses", where)
        if not isinstance(module, Module):
            raise TraceError(f"entry {name!r} must be a module such as nn.ReLU(), got {type(module).__name__}", where)
        taken = hasattr(self, str(name)) and name not in dict(_children(self))
        if not isinstance(name, str) or not name or "." in name or taken:
            raise TraceError(f"a module cannot be named {name!r}: empty, with a dot, or already an attribute", where)
        setattr(self, name, module)

    def extra_repr(self) -> str:
        """What stands between the parentheses of the representation."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        parts = [f"({name}): {_indented(repr(child))}" for name, child in _children(self)]
        return written(type(self).__name__, extra, parts)


def _require_assignable(module: Module, name: str, value: object) -> None:
    """A parameter gives way to another one or to None only: anything else would no longer be trained or saved."""
    held = vars(module).get(name)
    if isinstance(held, Parameter) and not isinstance(value, (Parameter, NoneType)):
        raise TraceError(
            f"holds a parameter {held.type}, and cannot be set to {type(value).__name__}; copy an array into it with "
            f"model.{name}.data = array, or set nn.Parameter(array) or None",
            place(f"{type(module).__name__}.{name}"),
        )


def written(name: str, extra: str, parts: list[str]) -> str:
    """A representation in PyTorch's style: on one line without parts, otherwise a line for each."""
    if not parts:
        return f"{name}({extra})"
    lines = [extra, *parts] if extra else parts
    return "\n  ".join([f"{name}(", *lines]) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _children(module: Module) -> Iterator[tuple[str, Module]]:
    return ((name, child) for name, child in vars(module).items() if isinstance(child, Module))


def _parameters(module: Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, item) for name, item in vars(module).items() if isinstance(item, Parameter))


def _walk(module: Module, path: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield path, module
    for name, child in _children(module):
        yield from _walk(child, _joined(path, name), seen)


def _every_name(module: Module, path: str) -> Iterator[tuple[str, Parameter]]:
    """Every name of every parameter: one that is shared comes several times."""
    for name, parameter in _parameters(module):
        yield _joined(path, name), parameter
    for name, child in _children(module):
        yield from _every_name(child, _joined(path, name))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _call_outside_trace(name: str, inputs: tuple[Any, ...]) -> str:
    shape = getattr(inputs[0], "shape", None) if inputs else None
    example = tuple(shape) if shape is not None else "shape"
    return (
        f"{name} is a description, calling it runs nothing; compile it first: "
        f"compiled = convir.compile(model, {example}), then compiled(x)"
    )
