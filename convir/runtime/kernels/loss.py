"""Cross-entropy and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir import ExecutionError, TensorType
from convir.ir.ops import CrossEntropy, CrossEntropyGrad, CrossEntropyOp
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


def _scratch(op: CrossEntropyOp, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """Shifted logits, a number for each sample, where the target logits stand among all, and those logits."""
    logits = next(operand for operand in operands if operand.rank == 2)
    samples, _ = op.sizes(logits)
    by_sample = (samples, 1) if op.class_axis == 1 else (1, samples)
    return [logits, logits.with_shape(by_sample), TensorType((samples,), "int64"), logits.with_shape((samples,))]


@kernel(CrossEntropy, scratch=_scratch)
def cross_entropy(op: CrossEntropy, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Shifted by each sample's maximum, so that exp does not overflow."""
    logits, target = inputs
    loss, shifted, each, index, picked = outputs

    return in_order([
        *_locate(op, target, logits, index),
        *_shift(op, logits, shifted, each),
        partial(np.take, shifted.reshape(-1), index, out=picked, mode="clip"),
        partial(np.exp, shifted, shifted),
        partial(np.add.reduce, shifted, axis=op.class_axis, out=each, keepdims=True),
        partial(np.log, each, each),
        partial(np.subtract, each.reshape(-1), picked, picked),
        partial(np.add.reduce, picked, out=loss),
        partial(np.divide, loss, scalar(len(target), loss), loss),
    ])  # fmt: skip


@kernel(CrossEntropyGrad, scratch=_scratch)
def cross_entropy_grad(op: CrossEntropyGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Softmax, less one at the target, times each sample's share of the cotangent."""
    grad, logits, target = inputs
    dlogits, shifted, each, index, shares = outputs
    share = each.reshape(-1)[:1].reshape(())
    flat = dlogits.reshape(-1)

    return in_order([
        *_locate(op, target, logits, index),
        *_shift(op, logits, shifted, each),
        partial(np.exp, shifted, shifted),
        partial(np.add.reduce, shifted, axis=op.class_axis, out=each, keepdims=True),
        partial(np.divide, shifted, each, dlogits),
        partial(np.take, flat, index, out=shares, mode="clip"),
        partial(np.subtract, shares, scalar(1, shares), shares),
        partial(np.put, flat, index, shares, mode="clip"),
        partial(np.divide, grad, scalar(len(target), logits), share),
        partial(np.multiply, dlogits, share, dlogits),
    ])  # fmt: skip


def _locate(op: CrossEntropyOp, target: Array, logits: Array, index: Array) -> list[Step]:
    """Steps that check the class indices and turn them into positions among all logits."""
    classes, samples = logits.shape[op.class_axis], np.arange(len(target))
    if op.class_axis == 1:
        place: list[Step] = [partial(np.add, target, samples * classes, index)]
    else:
        place = [
            partial(np.multiply, target, scalar(len(target), index), index),
            partial(np.add, index, samples, index),
        ]

    return [partial(require_classes, op.name, target, classes), *place]


def require_classes(name: str, target: Array, classes: int) -> None:
    """Raise ExecutionError unless every target is a class."""
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= classes:
        raise ExecutionError(
            f"{name}: target holds class {low if low < 0 else high}, but the logits have "
            f"{classes} classes, 0 to {classes - 1}"
        )


def _shift(op: CrossEntropyOp, logits: Array, shifted: Array, each: Array) -> list[Step]:
    """Steps for ``shifted = logits - max of each sample``."""
    return [
        partial(np.maximum.reduce, logits, axis=op.class_axis, out=each, keepdims=True),
        partial(np.subtract, logits, each, shifted),
    ]
