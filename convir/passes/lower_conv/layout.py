"""Into the layout that lowered convolutions run in, and back to the model's."""

from __future__ import annotations

from convir.ir import Value
from convir.ir.ops import CHWN, NCHW, ConvOp, Transpose, permutation
from convir.passes.margins import emit_margins
from convir.passes.rewrite import Rewriter

#: To the layout that lowered convolutions run in, and back to the model's.
TO_CHWN = Transpose(permutation(NCHW, CHWN))
TO_NCHW = Transpose(permutation(CHWN, NCHW))


def to_padded(rewriter: Rewriter, op: ConvOp, image: Value) -> Value:
    """An NCHW activation as (C, H, W, N) with the margins that ``op`` puts around it."""
    rows, columns = op.padding
    return emit_margins(rewriter, rewriter.emit(TO_CHWN, image), ((rows, rows), (columns, columns)))


def from_padded(rewriter: Rewriter, op: ConvOp, image: Value) -> Value:
    """The adjoint: (C, H, W, N) with margins as an NCHW activation without them."""
    rows, columns = op.padding
    return rewriter.emit(TO_NCHW, emit_margins(rewriter, image, ((-rows, -rows), (-columns, -columns))))
