"""Gradients of direct convolution."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import ACTIVATIONS, Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, FlipWeight, Sum
from convir.passes.direct_gradient import emit_input_gradient
from convir.passes.grad.registry import gradient, not_differentiable


@gradient(Conv2dDirect)
def conv2d_direct(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = conv2d_direct(pad(dz), flip(w)); dw = conv2d_direct_grad_weight(dz, x); db = sum(dz)``"""
    op, (image, weight, *bias) = node.op, node.inputs
    assert isinstance(op, Conv2dDirect)
    if op.activation is not None:
        cotangent = builder.emit(ACTIVATIONS[op.activation][1](), cotangent, node.outputs[0])
    rows, columns = image.type.shape[1:3]
    kernel = weight.type.shape[2:]
    grads: list[Value | None] = [
        emit_input_gradient(builder, cotangent, weight, op, (rows, columns), (0, 0)),
        builder.emit(
            Conv2dDirectGradWeight(op.stride, op.dilation, op.groups, (kernel[0], kernel[1])), cotangent, image
        ),
    ]
    return [*grads, *(builder.emit(Sum((1, 2, 3)), cotangent) for _ in bias)]


@gradient(FlipWeight)
def flip_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """Flipping twice is doing nothing: its own adjoint."""
    assert isinstance(node.op, FlipWeight)
    return [builder.emit(FlipWeight(node.op.groups), cotangent)]


not_differentiable("differentiate the model before convolutions are lowered", Conv2dDirectGradWeight, Dilate2d)
