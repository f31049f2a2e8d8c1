"""Batch roles of values known at compile time."""

from __future__ import annotations

from convir.ir.ops import Constant
from convir.passes.batch.registry import Roles, Types, batch_rule
from convir.passes.batch.roles import Whole


@batch_rule(Constant)
def constant(op: Constant, roles: Roles, operands: Types, results: Types) -> Roles:
    """The same in every tile."""
    return (Whole(),)
