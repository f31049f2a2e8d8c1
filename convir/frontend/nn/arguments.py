"""Layer arguments as users write them, brought into the form that ops take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convir.frontend.dims import as_integer
from convir.frontend.nn.module import Module
from convir.frontend.refusals import NeedsNumberError
from convir.ir import ConvirError, ShapeError, TraceError, UnsupportedError, describe_place
from convir.ir.ops import Margins
from convir.ir.ops.window import Pair

PairLike = int | tuple[int, int] | list[int]


@contextmanager
def constructing(module: Module) -> Iterator[None]:
    """Errors raised inside name the layer's class and the line that makes it, not the op it stands for."""
    try:
        yield
    except ConvirError as error:
        place = describe_place(type(module).__name__, "", module._made_at)
        kind = NeedsNumberError if isinstance(error, TraceError) else type(error)
        raise kind(error.message, place) from None


def pair(label: str, value: object) -> Pair:
    """An integer for both axes, or one for each; raises ShapeError for anything else."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        rows, columns = (as_integer(item) for item in value)
    else:
        rows = columns = as_integer(value)
    if rows is None or columns is None:
        raise ShapeError(f"{label} must be an integer or a pair of integers, got {value!r}")
    return rows, columns


def count(label: str, value: object, least: int = 1) -> int:
    """An integer of at least ``least``; raises ShapeError for anything else."""
    number = as_integer(value)
    if number is None or number < least:
        raise ShapeError(f"{label} must be an integer of at least {least}, got {value!r}")
    return number


def integer(label: str, value: object) -> int:
    """Any integer; raises ShapeError for anything else."""
    number = as_integer(value)
    if number is None:
        raise ShapeError(f"{label} must be an integer, got {value!r}")
    return number


def conv_padding(padding: object, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Margins | None]:
    """Padding of the convolution, and margins to pad with before it where "same" is not symmetric.

    "same" keeps rows and columns as they are; an even kernel then needs one more row or column at
    the end than at the start, which a convolution's own padding cannot say.

    Raises:
        ShapeError: not an integer or a pair, or "same" with a stride.
        UnsupportedError: another word than "same" or "valid".
    """
    if padding == "valid":
        return (0, 0), None
    if padding != "same":
        if isinstance(padding, str):
            raise UnsupportedError(f"padding must be an integer, a pair, 'same' or 'valid', got {padding!r}")
        return pair("padding", padding), None
    if stride != (1, 1):
        raise ShapeError(f"padding='same' is for stride 1, got stride={stride}; give the padding as numbers")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    rows, columns = ((t // 2, t - t // 2) for t in total)
    if rows[0] == rows[1] and columns[0] == columns[1]:
        return (rows[0], columns[0]), None
    return (0, 0), (rows, columns)
