"""Tracing: a model's forward, run once on symbolic tensors, becomes a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from convir.frontend.nn.module import Module
from convir.frontend.recording import Recording
from convir.frontend.refusals import NeedsNumberError
from convir.frontend.source import boundary
from convir.frontend.tensor import Symbolic, Tensor
from convir.ir import ConvirError, Graph, Source, TensorType, TraceError, describe_place

#: What a spec may be: a shape (float32), or a tensor type.
Spec = tuple[int, ...] | list[int] | TensorType

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def trace(model: Module | Callable[..., Any], *specs: Spec, name: str | None = None) -> Graph:
    """Run ``model`` once on symbolic tensors and return the graph of what it did.

    Args:
        model: a module, or a plain function of tensors (modules and parameters it refers to become
            part of the graph, named after their class: ``conv2d.weight``).
        specs: one for each input, in order: a shape such as ``(64, 1, 28, 28)``, which means
            float32, or ``TensorType(shape, "float64")``. Arguments with a default may be left out.
        name: the graph's name; without it the class's name in lower case, or the function's.

    Returns:
        A graph whose inputs are named like the parameters of ``forward``, and whose ``params`` have
        the state dict's names, in its order. Parameters that ``forward`` never uses are left out.
        Modules behave as their ``training`` flag says. Several outputs (tuple, list or dict of
        tensors, nested if need be) become several graph outputs, in order.

    Traces are per thread, and a trace inside a trace is independent of it. Exceptions of the user's
    own code pass through unchanged.

    Raises:
        TraceError: ``model`` is not callable, the specs do not fit its arguments, it needs the value of
            a tensor, or it returns something else than tensors.
        ShapeError, DTypeError: operands that do not fit together, with the module and the user's line.
    """
    _require_traceable(model)
    root = model if isinstance(model, Module) else getattr(model, "__self__", None)
    recording = Recording(name or _name_of(model), root if isinstance(root, Module) else None)
    arguments = _arguments(model, specs)
    with recording.active():
        result = _result(model, [Tensor(recording.input(label, type), recording) for label, type in arguments])
        try:
            outputs = [tensor.value_in(recording) for tensor in _tensors(result, type(result).__name__)]
        except TraceError as error:
            raise TraceError(error.message, _definition(model)) from None
    if not outputs:
        raise TraceError(f"returned an empty {type(result).__name__}; return at least one tensor", _definition(model))
    return recording.finish(outputs)


def _result(model: Callable[..., Any], tensors: list[Tensor]) -> Any:
    """What ``model`` returns; raises TraceError where it turns out to make a model instead of being one."""
    if isinstance(model, Module):
        return _run(model, tensors)
    try:
        result = _run(model, tensors)
    except NeedsNumberError as error:
        raise TraceError(
            f"gives its argument, a traced tensor, to a layer that takes a number ({error.where}); "
            f"if {_call_it(model)}",
            _definition(model),
        ) from None
    if isinstance(result, Module):
        raise TraceError(f"returned {type(result).__name__}; {_call_it(model)}", _definition(model))
    return result


def _call_it(model: Callable[..., Any]) -> str:
    parameters = inspect.signature(model).parameters.values()
    needed = any(p.default is p.empty and p.kind in _POSITIONAL for p in parameters)
    name = _name_of(model)
    return f"{name} is a function that returns a model, call it: {name}({'...' if needed else ''})"


@boundary
def _run(model: Callable[..., Any], tensors: list[Tensor]) -> Any:
    return model(*tensors)


def _tensors(result: object, whole: str) -> Iterator[Symbolic]:
    """The tensors in what forward returned, in order."""
    if isinstance(result, Symbolic):
        yield result
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from _tensors(item, whole)
    elif isinstance(result, Mapping):
        for item in result.values():
            yield from _tensors(item, whole)
    else:
        found = type(result).__name__
        inside = "" if found == whole else f" inside a {whole}"
        hint = "; is there a return at the end?" if result is None else ""
        raise TraceError(
            f"returned {found}{inside}; a traced model returns a tensor, or a tuple, list or dict of tensors{hint}"
        )


def _require_traceable(model: object) -> None:
    kind = type(model).__name__
    if isinstance(model, type):
        raise TraceError(f"{model.__name__} is a class; trace an instance of it: trace({model.__name__}(...), shape)")
    if any(base.__module__.startswith("torch.nn") for base in type(model).__mro__):
        raise TraceError(
            f"{kind} is a PyTorch module; build the same layers with convir.nn (same names and arguments) and copy the "
            "weights: model.load_state_dict(torch_model.state_dict())"
        )
    if not callable(model):
        raise TraceError(f"trace takes a Module or a function, then the shape of each input; got {kind}")
    if isinstance(model, Module) and type(model).forward is Module.forward:
        raise TraceError(f"{kind} has no forward; define forward(self, x) and return a tensor from it")


def _definition(model: Callable[..., Any]) -> str:
    """The place where the traced function is defined: ``Net.forward (net.py:9)``."""
    function = model.forward if isinstance(model, Module) else model
    label = f"{type(model).__name__}.forward" if isinstance(model, Module) else _name_of(model)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return describe_place(label, "", Source(code.co_filename, code.co_firstlineno) if code else None)


def _name_of(model: object) -> str:
    """``lenet5`` for an instance of LeNet5, the name of a function, its class for any other callable."""
    name = getattr(model, "__name__", None)
    if name is None:
        return type(model).__name__.lower()
    return "function" if name == "<lambda>" else str(name)


def _arguments(model: Callable[..., Any], specs: tuple[object, ...]) -> list[tuple[str, TensorType]]:
    """Name and type of each input; raises TraceError unless the specs fit the arguments."""
    function = model.forward if isinstance(model, Module) else model
    signature = inspect.signature(function)
    if len(specs) > 1 and all(isinstance(spec, int) for spec in specs):
        raise TraceError(f"pass a shape as one tuple: trace(model, {specs})")
    try:
        names = _names(signature, len(specs), "" if isinstance(model, Module) else f"; if {_call_it(model)}")
    except TraceError as error:
        raise error.located(_definition(model)) from None
    return [(name, _type(name, spec)) for name, spec in zip(names, specs, strict=True)]


def _names(signature: inspect.Signature, given: int, hint: str) -> list[str]:
    parameters = list(signature.parameters.values())
    keyword_only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if keyword_only:
        raise TraceError(
            f"needs keyword-only arguments ({', '.join(keyword_only)}), which specs cannot "
            "reach; make them positional or give them a default"
        )
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    names = [p.name for p in positional]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if rest is not None:
        names += [f"{rest}_{i}" for i in range(given - len(names))]
    if given and not names:
        raise TraceError(f"takes no inputs, got {given} {'spec' if given == 1 else 'specs'}{hint}")
    required = sum(p.default is p.empty for p in positional)
    if required <= given <= len(names):
        return names[:given]
    wanted = f"{required}" if required == len(names) else f"{required} to {len(names)}"
    inputs = "input" if wanted == "1" else "inputs"
    shapes = ", ".join(f"shape_of_{name}" for name in names[: max(required, 1)])
    raise TraceError(
        f"takes {wanted} {inputs} ({', '.join(names)}), got {given} {'spec' if given == 1 else 'specs'}; "
        f"pass one shape for each input, each a tuple: trace(model, {shapes})"
    )


def _type(name: str, spec: object) -> TensorType:
    if isinstance(spec, TensorType):
        return spec
    if isinstance(spec, (tuple, list)):
        try:
            return TensorType(tuple(spec))
        except ConvirError as error:
            raise error.located(f"input {name}") from None
    found = f"{spec!r}" if isinstance(spec, (int, float, str)) else type(spec).__name__
    hint = "; write trace(model, TensorType(x.shape, x.dtype))" if hasattr(spec, "shape") else ""
    raise TraceError(f"a spec is a shape such as (64, 1, 28, 28) or a TensorType, got {found}{hint}", f"input {name}")
