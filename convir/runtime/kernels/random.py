"""Dropout masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convir.common.random import default_generator
from convir.ir import TensorType
from convir.ir.ops import DropoutMask
from convir.runtime.kernels.registry import Array, Step, kernel, scalar


def _scratch(op: DropoutMask, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    return [replace(results[0], dtype="bool")]


@kernel(DropoutMask, scratch=_scratch)
def dropout_mask(op: DropoutMask, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Draws from the default generator at every run, whichever that is by then."""
    y, kept = outputs
    threshold = scalar(op.p, y)
    scale = scalar(1 / (1 - op.p) if op.p < 1 else 0.0, y)

    def run() -> None:
        default_generator().random(out=y, dtype=y.dtype.type)
        np.greater_equal(y, threshold, kept)
        np.multiply(kept, scale, y)

    return run
