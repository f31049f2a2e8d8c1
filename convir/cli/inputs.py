"""The ``--input`` option, and what follows from it: specs, a traced graph."""

from __future__ import annotations

import argparse
import re
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
    if args.dtype and isinstance(loaded.model, nn.Module):
        loaded.model.to(args.dtype)
    return trace(loaded.model, *specs_of(loaded, args))


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
    specs: list[Any] = [TensorType(each.shape, each.dtype) if each.dtype else each.shape for each in args.input]
    return infer_shapes(graph, *specs)
