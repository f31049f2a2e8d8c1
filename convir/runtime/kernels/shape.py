"""Copies that move elements. Views have no kernel: they are the operand's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir.ops import BroadcastTo, Crop2d, MarginOp, Pad2d, Slice2d, Slice2dGrad, Transpose, spatial_axes
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@kernel(Transpose)
def transpose(op: Transpose, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One strided copy."""
    return copied(outputs[0], inputs[0].transpose(op.permutation))


@kernel(BroadcastTo)
def broadcast_to(op: BroadcastTo, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy with strides of zero."""
    return partial(np.copyto, outputs[0], np.broadcast_to(inputs[0], outputs[0].shape))


@kernel(Pad2d)
def pad2d(op: Pad2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The margins are filled at every run: other values use these bytes in between."""
    y = outputs[0]
    fills: list[Step] = [partial(np.copyto, margin, scalar(op.value, y)) for margin in _margins(op, y)]
    return in_order([*fills, copied(_inner(op, y), inputs[0])])


@kernel(Crop2d)
def crop2d(op: Crop2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One strided copy."""
    return copied(outputs[0], _inner(op, inputs[0]))


@kernel(Slice2d)
def slice2d(op: Slice2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One strided copy."""
    down, across = op.stride
    return copied(outputs[0], inputs[0][:, ::down, ::across])


@kernel(Slice2dGrad)
def slice2d_grad(op: Slice2dGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Zeros, then the elements between them."""
    image, (down, across) = outputs[0], op.stride
    return in_order([
        partial(np.copyto, image, scalar(0, image)),
        copied(image[:, ::down, ::across], inputs[0]),
    ])  # fmt: skip


def _inner(op: MarginOp, padded: Array) -> Array:
    """The view between the margins."""
    index = [slice(None)] * padded.ndim
    for axis, (before, after) in zip(spatial_axes(op.layout), op.margins, strict=True):
        index[axis] = slice(before, padded.shape[axis] - after)
    return padded[tuple(index)]


def _margins(op: MarginOp, padded: Array) -> list[Array]:
    """Views of the four margins, without the empty ones; the corners belong to the rows."""
    rows, columns = spatial_axes(op.layout)
    (top, bottom), (left, right) = op.margins
    height, width = padded.shape[rows], padded.shape[columns]
    between = slice(top, height - bottom)
    spans = [
        (slice(0, top), slice(None)),
        (slice(height - bottom, height), slice(None)),
        (between, slice(0, left)),
        (between, slice(width - right, width)),
    ]
    views = []
    for row_span, column_span in spans:
        index = [slice(None)] * padded.ndim
        index[rows], index[columns] = row_span, column_span
        views.append(padded[tuple(index)])
    return [view for view in views if view.size]
