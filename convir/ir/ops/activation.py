"""Activation functions and their gradients."""

from __future__ import annotations

from convir.ir.errors import ShapeError
from convir.ir.op import Op, require_float, require_type
from convir.ir.ops.elementwise import UnaryOp
from convir.ir.types import TensorType


class ActivationOp(UnaryOp):
    """A non-linear function of one operand, element by element."""

    kind = "activation"


class Relu(ActivationOp):
    """``y = max(x, 0)``"""

    name = "relu"


class Sigmoid(ActivationOp):
    """``y = 1 / (1 + exp(-x))``"""

    name = "sigmoid"


class Tanh(ActivationOp):
    """``y = tanh(x)``"""

    name = "tanh"


class ActivationGradOp(Op):
    """The cotangent through an activation, from the activation's *result* ``y``."""

    kind = "activation"
    operand_names = ("grad", "result")
    inplace = (0,)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, result = self.operands(operands)
        require_float("grad", grad)
        require_type("result", result, grad)
        return (grad,)


class ReluGrad(ActivationGradOp):
    """``dx = dy where y > 0, else 0``"""

    name = "relu_grad"


class SigmoidGrad(ActivationGradOp):
    """``dx = dy * y * (1 - y)``"""

    name = "sigmoid_grad"


class TanhGrad(ActivationGradOp):
    """``dx = dy * (1 - y * y)``"""

    name = "tanh_grad"


#: Activations that a convolution or matmul can take as its epilogue: name -> (op, gradient op).
ACTIVATIONS: dict[str, tuple[type[ActivationOp], type[ActivationGradOp]]] = {
    "relu": (Relu, ReluGrad),
    "sigmoid": (Sigmoid, SigmoidGrad),
    "tanh": (Tanh, TanhGrad),
}


def require_activation(name: str | None) -> None:
    """Raise ShapeError unless ``name`` is None or an activation that can be fused."""
    if name is not None and name not in ACTIVATIONS:
        raise ShapeError(f"activation must be one of {', '.join(ACTIVATIONS)} or None, got {name!r}")
