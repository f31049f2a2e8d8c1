"""Reductions over chosen axes."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import Max, Mean, ReduceOp, Sum
from convir.loops.affine import index_of
from convir.loops.expr import Number, Reduce, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.maps import result_axes


@loops(Sum, Mean, Max)
def reduction(op: ReduceOp, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The kept axes are the loops; the others are reduced over."""
    axes = result_axes(operands[0].type.shape)
    kept = tuple(axis for place, axis in enumerate(axes) if place not in op.axes)
    reduced = tuple(axes[place] for place in op.axes)
    function = "maximum" if isinstance(op, Max) else "add"
    value: Reduce = Reduce(function, tuple(axis.name for axis in reduced), operands[0].at(*index_of(axes)))
    size = 1
    for axis in reduced:
        size *= axis.extent
    stored = mul(value, Number(1 / size)) if isinstance(op, Mean) else value
    index = [0 if place in op.axes else axis.name for place, axis in enumerate(axes) if op.keepdims or axis in kept]
    return Program((Nest(kept, reduced, (results[0].store(index, stored),)),))
