"""The input gradient of a direct convolution, which is a direct convolution: shared by lowering and differentiation."""

from __future__ import annotations

from convir.ir import Builder, Value
from convir.ir.ops import Conv2dDirect, Dilate2d, FlipWeight, extent
from convir.ir.ops.window import Pair
from convir.passes.margins import emit_margins


def emit_input_gradient(
    builder: Builder, grad: Value, weight: Value, op: Conv2dDirect, size: Pair, padding: Pair
) -> Value:
    """``dx = conv2d_direct(pad(dilate(dy)), flip_weight(w))``

    Args:
        builder: where the nodes go.
        grad: (O, OH, OW, N), the cotangent of the convolution's result before its activation.
        weight: (O, C/groups, KH, KW)
        op: the convolution that is differentiated.
        size: rows and columns of the image before padding.
        padding: rows and columns of zeros that stood on each side of it.

    Returns:
        (C, H, W, N), the gradient in the image without its padding.
    """
    if op.stride != (1, 1):
        grad = builder.emit(Dilate2d(op.stride), grad)
    reach = tuple(extent(weight.type.shape[2 + axis], op.dilation[axis]) - 1 for axis in (0, 1))
    before = [reach[axis] - padding[axis] for axis in (0, 1)]
    # Where the stride left rows over that no window read, their gradient is 0.
    after = [size[axis] + reach[axis] - before[axis] - grad.type.shape[1 + axis] for axis in (0, 1)]
    grad = emit_margins(builder, grad, ((before[0], after[0]), (before[1], after[1])))
    flipped = builder.emit(FlipWeight(op.groups), weight)
    return builder.emit(Conv2dDirect(dilation=op.dilation, groups=op.groups), grad, flipped)
