"""The maximum of neighbouring channels, over long runs of memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import Maxout, MaxoutGrad
from convir.runtime.kernels.activation import epilogue, select, select_scratch
from convir.runtime.kernels.pool import claims
from convir.runtime.kernels.registry import Array, Step, in_order, kernel


@kernel(Maxout)
def maxout(op: Maxout, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The running maximum over the pieces, then bias and activation in place."""
    x, *bias = inputs
    y = outputs[0]
    along = (-1, *(1,) * (y.ndim - 1))
    added: list[Step] = [partial(np.add, y, vector.reshape(along), y) for vector in bias]
    return in_order([*_maximum(_pieces(x, op.pieces), y), *added, *epilogue(op.activation, y)])


def _pieces(x: Array, count: int) -> list[Array]:
    """Every piece of all channels."""
    return [x[piece::count] for piece in range(count)]


def _maximum(pieces: Sequence[Array], y: Array) -> list[Step]:
    if len(pieces) == 1:
        return [partial(np.copyto, y, pieces[0])]
    first: Step = partial(np.maximum, pieces[0], pieces[1], out=y)
    later: list[Step] = [partial(np.maximum, y, piece, out=y) for piece in pieces[2:]]
    return [first, *later]


def _scratch(op: MaxoutGrad, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """Who is free, whom this piece claims, the bits to select with; the maxima if they are not given."""
    grad, _, *maximum = operands
    mask, chosen = select_scratch(grad)
    return [mask, mask, chosen, *([] if maximum else [grad])]


@kernel(MaxoutGrad, scratch=_scratch)
def maxout_grad(op: MaxoutGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Piece by piece: where it holds the maximum and no earlier one did, it takes the cotangent."""
    dy, x, *known = inputs
    dx, free, mask, chosen, *own = outputs
    (y,) = known or own
    pieces = _pieces(x, op.pieces)
    steps: list[Step] = [] if known else _maximum(pieces, y)
    for place, (piece, target) in enumerate(zip(pieces, _pieces(dx, op.pieces), strict=True)):
        steps.append(partial(np.equal, piece, y, mask))
        steps += claims(mask, free, place == 0, place == op.pieces - 1)
        steps += select(mask, dy, chosen, target)
    return in_order(steps)
