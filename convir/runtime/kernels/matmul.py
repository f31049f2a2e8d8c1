"""Matrix multiplication, by BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir.ops import MatMul
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.registry import Array, Step, in_order, kernel


@kernel(MatMul)
def matmul(op: MatMul, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The product straight into the result; transposed operands are views that BLAS takes as flags."""
    a, b, *bias = inputs
    y = outputs[0]
    left = a.swapaxes(-1, -2) if op.transpose_a else a
    right = b.swapaxes(-1, -2) if op.transpose_b else b
    product: Step = partial(np.matmul, left, right, y)
    added: list[Step] = [partial(np.add, y, vector, y) for vector in bias]
    return in_order([product, *added, *epilogue(op.activation, y)])
