"""Losses that are more than a composition of other ops."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import DTypeError, ShapeError
from convir.ir.op import Op, quiet, require_float, require_rank, require_type
from convir.ir.types import TensorType


@dataclass(frozen=True)
class CrossEntropyOp(Op):
    """What cross-entropy and its gradient share: logits and (N,) class indices.

    The logits are (N, K) with ``class_axis`` 1, as in models, and (K, N) with 0.
    """

    kind = "loss"
    class_axis: int = quiet(1)

    def check(self) -> None:
        if self.class_axis not in (0, 1) or not isinstance(self.class_axis, int):
            raise ShapeError(f"class_axis must be 0 or 1, got {self.class_axis!r}")

    def require_batch(self, logits: TensorType, target: TensorType) -> None:
        """Raise ShapeError or DTypeError unless the two fit."""
        require_rank("logits", logits, 2, "(N, classes)" if self.class_axis == 1 else "(classes, N)")
        require_float("logits", logits)
        if not target.dtype.startswith("int"):
            raise DTypeError(f"target holds class indices, int64 or int32, got {target}")
        require_type("target", target, TensorType((self.sizes(logits)[0],), target.dtype))

    def sizes(self, logits: TensorType) -> tuple[int, int]:
        """Number of samples and of classes."""
        return logits.shape[1 - self.class_axis], logits.shape[self.class_axis]


@dataclass(frozen=True)
class CrossEntropy(CrossEntropyOp):
    """``y = mean over n of (log sum over k of exp(logits[n,k]) - logits[n,target[n]])``"""

    name = "cross_entropy"
    operand_names = ("logits", "target")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        logits, target = self.operands(operands)
        self.require_batch(logits, target)
        return (TensorType((), logits.dtype),)


@dataclass(frozen=True)
class CrossEntropyGrad(CrossEntropyOp):
    """``dlogits[n,k] = grad * (softmax(logits)[n,k] - [k == target[n]]) / N``"""

    name = "cross_entropy_grad"
    operand_names = ("grad", "logits", "target")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, logits, target = self.operands(operands)
        self.require_batch(logits, target)
        require_type("grad", grad, TensorType((), logits.dtype))
        return (logits,)
