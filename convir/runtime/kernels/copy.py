"""Copies whose rows are short."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convir.runtime.kernels.registry import Array, Step

#: Bytes of a row that is copied as one element, at most: beside copying more, walking takes no time.
WIDEST = 512


def copied(target: Array, source: Array) -> Step:
    """``target[...] = source``, of arrays of one shape.

    NumPy has a loop for the innermost axis and walks over the others, which takes 7 ns a row: as long as copying 100
    bytes. Where the ends of both arrays' rows lie apart, a short row becomes one element of so many bytes, and
    NumPy's loop goes along the axis before it. That takes a fifth to a tenth of the time for rows of 8 and 16 bytes,
    which NumPy has loops of their own for, half for others up to 64, and nine tenths from 256 on.
    """
    run, axes = _row(target, source)
    width = run * target.itemsize
    if run <= 1 or width > WIDEST or axes == target.ndim or target.dtype != source.dtype:
        return partial(np.copyto, target, source)
    return partial(np.copyto, _wide(target, axes, run), _wide(source, axes, run))


def _row(target: Array, source: Array) -> tuple[int, int]:
    """Elements that lie one after the other in both arrays, and how many of the last axes they are."""
    run, axes = 1, 0
    for size, *strides in zip(target.shape[::-1], target.strides[::-1], source.strides[::-1], strict=True):
        if size != 1 and set(strides) != {run * target.itemsize}:
            break
        run, axes = run * size, axes + 1
    return run, axes


def _wide(array: Array, axes: int, run: int) -> Array:
    """A view without the last axes, of which each element is a row."""
    kept = array.ndim - axes
    rows = as_strided(array, (*array.shape[:kept], run), (*array.strides[:kept], array.itemsize))
    return rows.view(f"V{run * array.itemsize}")[..., 0]
