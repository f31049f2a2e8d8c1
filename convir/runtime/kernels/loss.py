"""Cross-entropy and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir import ExecutionError, TensorType
from convir.ir.ops import CrossEntropy, CrossEntropyGrad
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


def _scratch(
    op: CrossEntropy | CrossEntropyGrad, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """Shifted logits, a column, where the target logits stand among all, and a number for each."""
    logits = next(operand for operand in operands if operand.rank == 2)
    rows = logits.shape[0]
    return [logits, logits.with_shape((rows, 1)), TensorType((rows,), "int64"), logits.with_shape((rows,))]


@kernel(CrossEntropy, scratch=_scratch)
def cross_entropy(op: CrossEntropy, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Shifted by each row's maximum, so that exp does not overflow."""
    logits, target = inputs
    loss, shifted, column, index, picked = outputs

    return in_order([
        *_locate(op.name, target, logits.shape[1], index),
        *_shift(logits, shifted, column),
        partial(np.take, shifted.reshape(-1), index, out=picked, mode="clip"),
        partial(np.exp, shifted, shifted),
        partial(np.add.reduce, shifted, axis=1, out=column, keepdims=True),
        partial(np.log, column, column),
        partial(np.subtract, column[:, 0], picked, picked),
        partial(np.add.reduce, picked, out=loss),
        partial(np.divide, loss, scalar(len(target), loss), loss),
    ])  # fmt: skip


@kernel(CrossEntropyGrad, scratch=_scratch)
def cross_entropy_grad(op: CrossEntropyGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Softmax, less one at the target, times each sample's share of the cotangent."""
    grad, logits, target = inputs
    dlogits, shifted, column, index, shares = outputs
    share = column[:1].reshape(())
    flat = dlogits.reshape(-1)

    return in_order([
        *_locate(op.name, target, logits.shape[1], index),
        *_shift(logits, shifted, column),
        partial(np.exp, shifted, shifted),
        partial(np.add.reduce, shifted, axis=1, out=column, keepdims=True),
        partial(np.divide, shifted, column, dlogits),
        partial(np.take, flat, index, out=shares, mode="clip"),
        partial(np.subtract, shares, scalar(1, shares), shares),
        partial(np.put, flat, index, shares, mode="clip"),
        partial(np.divide, grad, scalar(len(target), logits), share),
        partial(np.multiply, dlogits, share, dlogits),
    ])  # fmt: skip


def _locate(name: str, target: Array, classes: int, index: Array) -> list[Step]:
    """Steps that check the class indices and turn them into positions among all logits."""
    offsets = np.arange(len(target)) * classes

    def check() -> None:
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= classes:
            raise ExecutionError(
                f"{name}: target holds class {low if low < 0 else high}, but the logits have "
                f"{classes} classes, 0 to {classes - 1}"
            )

    return [check, partial(np.add, target, offsets, index)]


def _shift(logits: Array, shifted: Array, column: Array) -> list[Step]:
    """Steps for ``shifted = logits - max of each row``."""
    return [
        partial(np.maximum.reduce, logits, axis=1, out=column, keepdims=True),
        partial(np.subtract, logits, column, shifted),
    ]
