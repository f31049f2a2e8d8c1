"""What rules share: axes named after dimensions, and nests that map every element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convir.loops.affine import Axis, axes_over, index_of
from convir.loops.expr import Expr
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand

#: Names of the axes of a result, by rank: batch-innermost activations, then matrices.
_NAMES = {4: ("c", "h", "w", "n"), 3: ("g", "i", "j"), 2: ("i", "j"), 1: ("j",), 0: ()}


def result_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """One axis for each dimension."""
    names = _NAMES.get(len(shape)) or tuple(f"d{index}" for index in range(len(shape)))
    return axes_over(shape, names)


def each(result: Operand, value: Callable[..., Expr]) -> Nest:
    """``result[index] = value(*index)`` for every index."""
    axes = result_axes(result.type.shape)
    index = index_of(axes)
    return Nest(axes, (), (result.store(index, value(*index)),))


def mapped(result: Operand, value: Callable[..., Expr]) -> Program:
    """A program of one such nest."""
    return Program((each(result, value),))
