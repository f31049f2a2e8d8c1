"""The maximum of neighbouring channels, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_float, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.types import TensorType


@dataclass(frozen=True)
class MaxoutOp(Op):
    """What maxout and its gradient share. Goodfellow et al., *Maxout Networks*, ICML 2013.

    A pooling whose windows share no pixel is a maxout of what ``space_to_depth`` makes of its image.
    """

    kind = "pooling"
    pieces: int = 1

    def check(self) -> None:
        if not isinstance(self.pieces, int) or isinstance(self.pieces, bool) or self.pieces < 1:
            raise ShapeError(f"pieces must be an integer of at least 1, got {self.pieces!r}")

    def largest(self, image: TensorType) -> TensorType:
        """Type of the maxima of ``image`` (C*P, ...)."""
        require_float("input", image)
        if image.rank == 0 or image.shape[0] % self.pieces:
            raise ShapeError(f"the channels of {image}, its first axis, are no multiple of pieces={self.pieces}")
        return image.with_shape((image.shape[0] // self.pieces, *image.shape[1:]))


@dataclass(frozen=True)
class Maxout(MaxoutOp):
    """``y[c, ...] = act(max over p of x[c*P + p, ...] + bias[c])``: (C*P, ...) to (C, ...)."""

    name = "maxout"
    operand_names = ("input", "bias?")
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_activation(self.activation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        image, *bias = self.operands(operands)
        result = self.largest(image)
        for vector in bias:
            require_type("bias", vector, image.with_shape((result.shape[0],)))
        return (result,)


class MaxoutGrad(MaxoutOp):
    """Each cotangent goes to the channel that holds the maximum; among equals, to the first.

    ``maximum`` is that before bias and activation; it may be larger where ``grad`` is 0, which then goes nowhere.
    Where it is left out it is computed again.
    """

    name = "maxout_grad"
    operand_names = ("grad", "input", "maximum?")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image, *maximum = self.operands(operands)
        expected = self.largest(image)
        for label, given in (("grad", grad), *(("maximum", values) for values in maximum)):
            require_type(label, given, expected)
        return (image,)
