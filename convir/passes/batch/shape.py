"""Batch roles of ops that only move elements. All are linear, but for padding with a number."""

from __future__ import annotations

from math import prod

from convir.ir import ShapeError, TensorType, UnsupportedError
from convir.ir.ops import (
    BroadcastTo,
    Crop2d,
    Flatten,
    Pad2d,
    Reshape,
    Slice2d,
    Slice2dGrad,
    Transpose,
    inverse,
    spatial_axes,
)
from convir.passes.batch.operand import Operand, aligned, operands_of, scaled, total, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule
from convir.passes.batch.roles import PerSample, Whole, resized


@batch_rule(Reshape, Flatten)
def reshape(op: Reshape | Flatten, roles: Roles, operands: Types, results: Types) -> Roles:
    """The batch axis must stay an axis of its own."""
    (role,) = roles
    return (PerSample(_own_axis(op, role, operands[0], results[0])) if isinstance(role, PerSample) else role,)


@batch_rule(Transpose)
def transpose(op: Transpose, roles: Roles, operands: Types, results: Types) -> Roles:
    """The batch axis moves with the others."""
    return (scaled(*operands_of(op, roles, operands, inverse(op.permutation))),)


@batch_rule(BroadcastTo)
def broadcast_to(op: BroadcastTo, roles: Roles, operands: Types, results: Types) -> Roles:
    """Aligned at the right. The shape is made of numbers, so what has a batch does not fit at another."""
    return (scaled(*operands_of(op, roles, operands, aligned(operands[0].rank, results[0].rank))),)


@batch_rule(Pad2d)
def pad2d(op: Pad2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Adds the margins' value, which a sum over the batch would count once for each tile."""
    (image,) = unmoved(op, roles, operands, mixed=spatial_axes(op.layout))
    margins = Operand("value", Whole(), (), ())
    return (total(image, margins) if op.value else scaled(image),)


@batch_rule(Crop2d)
def crop2d(op: Crop2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself."""
    return (scaled(*unmoved(op, roles, operands, mixed=spatial_axes(op.layout))),)


@batch_rule(Slice2d, Slice2dGrad)
def slice2d(op: Slice2d | Slice2dGrad, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; an axis of which some are left out has not one slice for each that there was."""
    thinned = [axis for axis, step in enumerate(op.stride, 1) if step > 1]
    return (scaled(*unmoved(op, roles, operands, mixed=thinned)),)


def _own_axis(op: Reshape | Flatten, role: PerSample, before: TensorType, after: TensorType) -> int:
    """Where the batch axis is in ``after``, found by reshaping one sample more.

    In row-major order an axis is the same before and after if as many elements lie in front of it.
    """
    batch = before.shape[role.axis]
    try:
        (larger,) = op.infer(resized(before, role, batch + 1))
    except ShapeError as error:
        raise UnsupportedError(
            f"its shape fits a batch of {batch} only: {error.message}; for another one write x.shape[0] or -1"
        ) from None
    outer = prod(before.shape[: role.axis])
    for axis, size in enumerate(after.shape):
        candidate = PerSample(axis)
        if size == batch and outer == prod(after.shape[:axis]) and larger == resized(after, candidate, batch + 1):
            return axis
    raise UnsupportedError(
        f"the batch, axis {role.axis} of {before}, is not an axis of its own in {after}; keep it in its place"
    )
