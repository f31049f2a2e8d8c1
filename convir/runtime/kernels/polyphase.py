"""Runs of images in components: what the kernels of depthwise and shifted products share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convir.ir.ops import PolyphaseOp
from convir.runtime.kernels.registry import Array, Step

#: Elements of the buffer that NumPy's iterators get here; 8192 if not told.
_BUFFER = 1024


def starts(op: PolyphaseOp, image: Array, kernel: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Every kernel tap (k, l), and where its run begins, in elements from the start of a channel."""
    _, rows, width, batch = image.shape
    for tap in op.taps((kernel[0], kernel[1]), rows // (op.stride[0] * op.stride[1])):
        yield tap.k, tap.l, (tap.row * width + tap.column) * batch


def run_length(width: int, rows: int, columns: int, batch: int) -> int:
    """Elements from the first of ``rows`` x ``columns`` windows over components of ``width`` columns to the last."""
    return ((rows - 1) * width + columns) * batch


def windows(runs: Array, width: int, rows: int, columns: int, batch: int) -> Array:
    """The view (..., rows, columns, batch) of runs (..., run) without the ends of rows."""
    *leading, element = runs.strides
    shape = (*runs.shape[:-1], rows, columns, batch)
    return as_strided(runs, shape, (*leading, width * batch * element, batch * element, element))


def unbuffered(step: Step) -> Step:
    """``step``, in which rows of some hundred elements have a loop of their own.

    NumPy gathers rows that are short beside the buffer of its iterator into that buffer, which takes longer than
    multiplying or adding them; the size of the buffer is part of the error state.
    """

    def run() -> None:
        with np.errstate():
            np.setbufsize(_BUFFER)
            step()

    run.steps = [step]  # type: ignore[attr-defined]
    return run
