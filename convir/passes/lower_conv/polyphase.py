"""Images as polyphase components and back: what the strategies share that read shifted runs of memory."""

from __future__ import annotations

from convir.ir import Value
from convir.ir.ops import ConvOp, Margins, PolyphaseOp, Reshape, Transpose, inverse
from convir.ir.ops.window import Pair
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.margins import emit_margins
from convir.passes.rewrite import Rewriter

#: (C, H, SH, W, SW, N) to (C, SH, SW, H, W, N).
_APART = Transpose((0, 2, 4, 1, 3, 5))
_TOGETHER = Transpose(inverse(_APART.permutation))


def to_components(rewriter: Rewriter, op: ConvOp, image: Value, kernel: Pair) -> Value:
    """An NCHW activation with margins, as (C, SH*SW*H, W, N): see PolyphaseOp."""
    (channels, height, width), (down, across) = image.type.shape[1:], op.stride
    margins = _margins(op, (height, width), kernel)
    padded = emit_margins(rewriter, rewriter.emit(TO_CHWN, image), margins)
    if op.stride == (1, 1):
        return padded
    rows, columns = padded.type.shape[1] // down, padded.type.shape[2] // across
    apart = rewriter.emit(_APART, rewriter.emit(Reshape((channels, rows, down, columns, across, -1)), padded))
    return rewriter.emit(Reshape((channels, down * across * rows, columns, -1)), apart)


def from_components(rewriter: Rewriter, op: ConvOp, image: Value, size: Pair, kernel: Pair) -> Value:
    """The adjoint: components as an NCHW activation of ``size`` without margins."""
    (channels, rows, columns), (down, across) = image.type.shape[:3], op.stride
    if op.stride != (1, 1):
        rows //= down * across
        apart = rewriter.emit(Reshape((channels, down, across, rows, columns, -1)), image)
        image = rewriter.emit(Reshape((channels, rows * down, columns * across, -1)), rewriter.emit(_TOGETHER, apart))
    (top, bottom), (left, right) = _margins(op, size, kernel)
    return rewriter.emit(TO_NCHW, emit_margins(rewriter, image, ((-top, -bottom), (-left, -right))))


def _margins(op: ConvOp, size: Pair, kernel: Pair) -> Margins:
    """What is added, or left away behind the last window, so that components hold just what windows see."""
    output, reach = op.output_size(size, kernel), PolyphaseOp(op.stride, op.dilation).reach(kernel)
    behind = [op.stride[axis] * (output[axis] + reach[axis]) - op.padding[axis] - size[axis] for axis in (0, 1)]
    return (op.padding[0], behind[0]), (op.padding[1], behind[1])
