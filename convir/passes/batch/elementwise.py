"""Batch roles of element-by-element arithmetic."""

from __future__ import annotations

from convir.ir.ops import Add, BinaryOp, Div, Exp, Log, Mul, Neg, Sqrt, Sub, UnaryOp
from convir.passes.batch.operand import Operand, aligned, joined, operands_of, product, scaled, total, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(Add, Sub)
def sums(op: Add | Sub, roles: Roles, operands: Types, results: Types) -> Roles:
    """Two sums over the batch make one; a mean takes what is the same in every tile as well."""
    return (total(*_broadcast(op, roles, operands, results)),)


@batch_rule(Mul)
def mul(op: Mul, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in each factor."""
    a, b = _broadcast(op, roles, operands, results)
    return (product(a, b),)


@batch_rule(Div)
def div(op: Div, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in the dividend."""
    return (scaled(*_broadcast(op, roles, operands, results)),)


@batch_rule(Neg)
def neg(op: Neg, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear."""
    return (scaled(*unmoved(op, roles, operands)),)


@batch_rule(Exp, Log, Sqrt)
def functions(op: UnaryOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Not linear."""
    return (joined(*unmoved(op, roles, operands)),)


def _broadcast(op: BinaryOp, roles: Roles, operands: Types, results: Types) -> list[Operand]:
    """The two operands, aligned at the right."""
    return operands_of(op, roles, operands, *(aligned(type.rank, results[0].rank) for type in operands))
