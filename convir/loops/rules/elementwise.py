"""Element-by-element arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import Add, BinaryOp, Div, Exp, Log, Mul, Neg, Sqrt, Sub, UnaryOp
from convir.loops.expr import Apply
from convir.loops.nest import Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.maps import mapped


@loops(Add, Sub, Mul, Div)
def binary(op: BinaryOp, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Both operands broadcast to the result."""
    a, b = operands
    return mapped(results[0], lambda *index: Apply(op.name, (a.broadcast(*index), b.broadcast(*index))))


@loops(Neg, Exp, Log, Sqrt)
def unary(op: UnaryOp, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """One element from one."""
    return mapped(results[0], lambda *index: Apply(op.name, (operands[0].at(*index),)))
