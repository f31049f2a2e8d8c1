"""Element-by-element arithmetic: one ufunc each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from convir.ir import Op
from convir.ir.ops import Add, Div, Exp, Log, Mul, Neg, Sqrt, Sub
from convir.runtime.kernels.registry import Array, Step, kernel

_UFUNCS: dict[type[Op], np.ufunc] = {
    Add: np.add,
    Sub: np.subtract,
    Mul: np.multiply,
    Div: np.divide,
    Neg: np.negative,
    Exp: np.exp,
    Log: np.log,
    Sqrt: np.sqrt,
}


@kernel(*_UFUNCS)
def elementwise(op: Op, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The op's ufunc, straight into the result."""
    return partial(_UFUNCS[type(op)], *inputs, outputs[0])
