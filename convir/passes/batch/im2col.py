"""Batch roles of the patch matrix and its adjoint."""

from __future__ import annotations

from convir.ir import UnsupportedError
from convir.ir.ops import Col2im, Im2col, PatchOp
from convir.passes.batch.operand import scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule
from convir.passes.batch.roles import PerSample


@batch_rule(Im2col, Col2im)
def patches(op: PatchOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear."""
    if any(isinstance(role, PerSample) for role in roles):
        raise UnsupportedError(
            "a patch matrix has samples and window positions along one axis; ask for the graph before it is lowered"
        )
    return (scaled(*unmoved(op, roles, operands)),)
