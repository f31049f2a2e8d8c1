"""What a loop nest computes at one point: scalar expressions over loads, with reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from convir.ir import ConvirError
from convir.loops.affine import Affine


@dataclass(frozen=True)
class Load:
    """One element of an operand."""

    operand: str
    offset: Affine


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Index:
    """The value of a loop variable, as a number to compute with."""

    offset: Affine


@dataclass(frozen=True)
class Apply:
    """A function of scalars: a key of :data:`FUNCTIONS`."""

    function: str
    arguments: tuple[Expr, ...]

    def __post_init__(self) -> None:
        if FUNCTIONS.get(self.function) != len(self.arguments):
            raise ConvirError(f"loops have no function {self.function!r} of {len(self.arguments)} arguments")


@dataclass(frozen=True)
class Reduce:
    """``sum`` or ``maximum`` of ``body`` over axes.

    Attributes:
        function: ``add`` or ``maximum``.
        axes: names of the axes reduced over.
        body: what is reduced.
    """

    function: str
    axes: tuple[str, ...]
    body: Expr


Expr = Load | Number | Index | Apply | Reduce

#: Functions and how many arguments they take. ``where_less(a, b, c, d)`` is ``c if a < b else d``.
FUNCTIONS: dict[str, int] = {
    "add": 2,
    "sub": 2,
    "mul": 2,
    "div": 2,
    "maximum": 2,
    "neg": 1,
    "exp": 1,
    "log": 1,
    "sqrt": 1,
    "tanh": 1,
    "where_equal": 4,
    "where_less": 4,
}

#: What a reduction starts from.
NEUTRAL: dict[str, float] = {"add": 0.0, "maximum": float("-inf")}


def add(a: Expr, b: Expr) -> Expr:
    """``a + b``"""
    return Apply("add", (a, b))


def sub(a: Expr, b: Expr) -> Expr:
    """``a - b``"""
    return Apply("sub", (a, b))


def mul(a: Expr, b: Expr) -> Expr:
    """``a * b``"""
    return Apply("mul", (a, b))


def div(a: Expr, b: Expr) -> Expr:
    """``a / b``"""
    return Apply("div", (a, b))


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger; NaN if one of them is."""
    return Apply("maximum", (a, b))


def where_equal(a: Expr, b: Expr, then: Expr, other: Expr) -> Expr:
    """``then`` where ``a == b``, else ``other``"""
    return Apply("where_equal", (a, b, then, other))


def where_less(a: Expr, b: Expr, then: Expr, other: Expr) -> Expr:
    """``then`` where ``a < b``, else ``other``"""
    return Apply("where_less", (a, b, then, other))


def walk(expr: Expr) -> Iterator[Expr]:
    """``expr`` and everything in it."""
    yield expr
    if isinstance(expr, Reduce):
        yield from walk(expr.body)
    if isinstance(expr, Apply):
        for argument in expr.arguments:
            yield from walk(argument)


def loads(expr: Expr) -> Iterator[Load]:
    """Every load in ``expr``."""
    return (part for part in walk(expr) if isinstance(part, Load))


def transform(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """``expr`` with parts replaced: ``change`` returns a replacement, or None to look further inside."""
    changed = change(expr)
    if changed is not None:
        return changed
    if isinstance(expr, Reduce):
        return replace(expr, body=transform(expr.body, change))
    if isinstance(expr, Apply):
        return replace(expr, arguments=tuple(transform(argument, change) for argument in expr.arguments))
    return expr


def moved(expr: Expr, move: Callable[[Affine], Affine]) -> Expr:
    """``expr`` with every offset changed."""

    def change(part: Expr) -> Expr | None:
        return replace(part, offset=move(part.offset)) if isinstance(part, Load | Index) else None

    return transform(expr, change)
