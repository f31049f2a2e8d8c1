"""The ``--input`` option, and what follows from it: specs, a traced graph."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convir.cli.load import Loaded, load_model
from convir.frontend import nn, trace
from convir.ir import DTYPES, Graph, LoadError, TensorType, UnsupportedError
from convir.passes.infer_shapes import infer_shapes

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Input:
    """A shape, and an element type if one was written."""

    shape: tuple[int, ...]
    dtype: str | None


def parse_input(text: str) -> Input:
    """``8,1,28,28`` or ``8:int64``; raises ArgumentTypeError naming the part that cannot be read."""
    sizes, colon, dtype = text.partition(":")
    if colon and dtype not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r}: unknown element type {dtype!r}; there are {', '.join(DTYPES)}")
    return Input(tuple(_size(part.strip(), text) for part in sizes.split(",")), dtype or None)


def _size(part: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]+", part) or int(part) == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r}: {part!r} is not a positive integer; write a shape like 8,1,28,28, batch first"
        )
    return int(part)


def traced(args: argparse.Namespace) -> Graph:
    """The graph of the model that the arguments name."""
    loaded = load_model(args.model)
    if isinstance(loaded.model, Graph):
        return _respecialised(loaded.model, args)
    if args.input:
        _require_one_for_each(args.model, *_inputs_of(loaded.model), len(args.input))
    if args.dtype and isinstance(loaded.model, nn.Module):
        loaded.model.to(args.dtype)
    return trace(loaded.model, *specs_of(loaded, args))


def _inputs_of(model: Any) -> tuple[list[str], int]:
    """Names of the inputs that a module or function can take, and how many it must have."""
    function = model.forward if isinstance(model, nn.Module) else model
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in without a signature
        return [], 0
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return [], 0
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return [each.name for each in positional], sum(each.default is each.empty for each in positional)


def _require_one_for_each(model: str, names: Sequence[str], required: int, given: int) -> None:
    """In terms of the command line what tracing would say in terms of Python. Without names, any number will do."""
    if not names or required <= given <= len(names):
        return
    wanted = _times(required) if required == len(names) else f"{required} to {len(names)} times"
    inputs = f"{len(names)} {'input' if len(names) == 1 else 'inputs'} ({', '.join(names)})"
    raise LoadError(f"{model} takes {inputs}: give --input {wanted}, got {_times(given)}")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def specs_of(loaded: Loaded, args: argparse.Namespace) -> list[TensorType]:
    """The type of each input: as given, or what the zoo says."""
    given = args.input or [Input(shape, None) for shape in loaded.input_shapes]
    if not given:
        raise LoadError(f"{args.model} needs the shape of each of its inputs: --input N,C,H,W")
    return [TensorType(each.shape, each.dtype or args.dtype or "float32") for each in given]


def _respecialised(graph: Graph, args: argparse.Namespace) -> Graph:
    if args.dtype:
        raise UnsupportedError(f"{args.model} is a traced graph and has its element types; --dtype is for modules")
    if not args.input:
        return graph
    names = [value.name for value in graph.inputs]
    _require_one_for_each(args.model, names, len(names), len(args.input))
    specs: list[Any] = [TensorType(each.shape, each.dtype) if each.dtype else each.shape for each in args.input]
    return infer_shapes(graph, *specs)
