"""Measuring a machine's figures: a second or a few, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from convir.runtime.blas import blas_threads
from convir.selection.figures import COLUMNS, COPIES, INNER, ROWS, Figures

#: A call is repeated until a sample takes this long, and the best of so many samples counts: others were disturbed.
#: Everything is measured so many times, one after the other: what disturbs a rate once is gone the next time.
SAMPLE_SECONDS, SAMPLES, PASSES = 0.3e-3, 3, 3

#: FLOPs of a batch of products, at least, and products of a batch at most: a batch pays for its call once.
BATCH_FLOPS, BATCH = 1_000_000, 64


def measure_figures(threads: int = 1, dtype: str = "float32") -> Figures:
    """What NumPy can do on this machine.

    Args:
        threads: how many BLAS may use; copies use one.
        dtype: element type of products and copies.
    """
    passes = [_measured(threads, dtype) for _ in range(PASSES)]
    fields = {name: [getattr(each, name) for each in passes] for name in vars(passes[0])}
    rates, copies = (np.max(fields.pop(name), axis=0).tolist() for name in ("product_gflops", "copy_gbytes"))
    products = tuple(tuple(map(tuple, plane)) for plane in rates)
    return Figures(products, tuple(copies), **{name: min(found) for name, found in fields.items() if None not in found})


def _measured(threads: int, dtype: str) -> Figures:
    """Everything once."""
    call = _seconds(partial(np.copyto, np.zeros(1, dtype), np.zeros(1, dtype)))
    with blas_threads(threads):
        rates = {size: _product(*size, dtype) for size in product(ROWS, INNER, COLUMNS)}
    return Figures(
        product_gflops=tuple(tuple(tuple(rates[m, k, n] for n in COLUMNS) for k in INNER) for m in ROWS),
        copy_gbytes=tuple(_copy(nbytes, dtype, call) for nbytes in COPIES),
        loop_seconds=_loop(dtype, call),
        element_seconds=_element(dtype, call),
        wide_seconds=_element("V32", call),
        call_seconds=call,
    )


def _seconds(call: Callable[[], object]) -> float:
    """The least that a call takes."""
    count, best = 1, float("inf")
    clock = time.perf_counter
    call()
    for _ in range(SAMPLES):
        spent = 0.0
        while True:
            begin = clock()
            for _ in range(count):
                call()
            spent = clock() - begin
            if spent >= SAMPLE_SECONDS:
                break
            count *= 2
        best = min(best, spent / count)
    return best


def _product(m: int, k: int, n: int, dtype: str) -> float:
    """10^9 FLOPs a second."""
    flops = 2 * m * k * n
    count = max(1, min(BATCH, BATCH_FLOPS // flops))
    left, right = np.ones((count, m, k), dtype), np.ones((count, k, n), dtype)
    return count * flops / _seconds(partial(np.matmul, left, right, np.empty((count, m, n), dtype))) / 1e9


def _copy(nbytes: int, dtype: str, call: float) -> float:
    """10^9 bytes read and written a second."""
    source = np.ones(nbytes // 2 // np.dtype(dtype).itemsize, dtype)
    return nbytes / max(1e-9, _seconds(partial(np.copyto, np.empty_like(source), source)) - call) / 1e9


#: Innermost loops of the copies that follow, and elements of each: few enough to stay in the first cache.
_LOOPS, _RUN = 256, 4


def _loop(dtype: str, call: float) -> float:
    """Seconds of an innermost loop of a few elements, more than those take."""
    source = np.ones((_LOOPS, 2 * _RUN), dtype)[:, :_RUN]
    target = np.empty((_LOOPS, 2 * _RUN), dtype)[:, :_RUN]
    return max(1e-10, _seconds(partial(np.copyto, target, source)) - call) / _LOOPS


def _element(dtype: str, call: float) -> float:
    """Seconds of an element, every other one copied."""
    source, target = np.zeros(2 * _LOOPS * _RUN, dtype)[::2], np.empty(_LOOPS * _RUN, dtype)
    return max(1e-12, _seconds(partial(np.copyto, target, source)) - call) / len(target)
