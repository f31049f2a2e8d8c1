"""Running one op on arrays, outside any program: for constant folding and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convir.ir import Op, TensorType
from convir.ir.ops import Constant
from convir.runtime.kernels import Array, kernel_for


def evaluate(op: Op, inputs: Sequence[Array]) -> list[Array]:
    """The results of ``op`` on ``inputs``, in fresh arrays.

    Raises:
        ShapeError, DTypeError: the arrays do not fit the op.
        UnsupportedError: the op has no kernel.
    """
    contiguous = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in inputs]
    operands = [TensorType(array.shape, array.dtype.name) for array in contiguous]
    results = op.infer(*operands)
    if isinstance(op, Constant):
        return [op.value.array.copy()]
    if op.view:
        return [contiguous[0].reshape(results[0].shape).copy()]
    found = kernel_for(op)
    outputs = [np.empty(type.shape, type.dtype) for type in results]
    scratch = [np.empty(type.shape, type.dtype) for type in found.scratch(op, operands, results)]
    with np.errstate(all="ignore"):
        found.bind(op, contiguous, [*outputs, *scratch])()
    return outputs
