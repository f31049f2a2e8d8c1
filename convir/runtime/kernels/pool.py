"""Vectorised pooling: one step for each kernel tap, in either layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import (
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    AvgPoolOp,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
    extent,
    spatial_axes,
)
from convir.runtime.kernels.activation import epilogue, select, select_scratch
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@dataclass(frozen=True)
class Tap:
    """One kernel tap: what it reads of the image, and for which windows; both views have one shape."""

    image: tuple[slice, ...]
    windows: tuple[slice, ...]
    covers_all: bool


def taps(op: PoolOp, image: Array, result: Array) -> list[Tap]:
    """The kernel taps in row-major order; windows whose tap falls into the padding are left out."""
    rows, columns = spatial_axes(op.layout)
    found = []
    for k, l in product(range(op.kernel_size[0]), range(op.kernel_size[1])):
        down = _span(op, 0, k, image.shape[rows], result.shape[rows])
        across = _span(op, 1, l, image.shape[columns], result.shape[columns])
        if down is None or across is None:
            continue
        pixels, windows = [slice(None)] * image.ndim, [slice(None)] * image.ndim
        (pixels[rows], windows[rows]), (pixels[columns], windows[columns]) = down, across
        covers_all = result[tuple(windows)].shape == result.shape
        found.append(Tap(tuple(pixels), tuple(windows), covers_all))
    return found


def _span(op: PoolOp, axis: int, tap: int, size: int, count: int) -> tuple[slice, slice] | None:
    """Along one axis: the pixels that a tap reads, and the windows that read them."""
    stride, shift = op.stride[axis], tap * op.dilation[axis] - op.padding[axis]
    first = max(0, -(shift // stride))
    last = min(count - 1, (size - 1 - shift) // stride)
    if last < first:
        return None
    start = first * stride + shift
    return slice(start, last * stride + shift + 1, stride), slice(first, last + 1)


@kernel(MaxPool2dTaps)
def max_pool2d_taps(op: MaxPool2dTaps, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The running maximum over the taps, then bias and activation in place."""
    x, *bias = inputs
    y = outputs[0]
    per_channel = [-1 if axis == "C" else 1 for axis in op.layout]
    added: list[Step] = [partial(np.add, y, vector.reshape(per_channel), y) for vector in bias]
    return in_order([*_maximum(x, y, taps(op, x, y)), *added, *epilogue(op.activation, y)])


def _maximum(x: Array, y: Array, every: Sequence[Tap]) -> list[Step]:
    """Steps for the maximum of each window."""
    if len(every) > 1 and every[0].covers_all and every[1].covers_all:
        first: Step = partial(np.maximum, x[every[0].image], x[every[1].image], out=y)
        rest = every[2:]
    else:
        first, rest = partial(np.copyto, y, scalar(-np.inf, y)), every
    later: list[Step] = [partial(np.maximum, y[t.windows], x[t.image], out=y[t.windows]) for t in rest]
    return [first, *later]


def _max_scratch(
    op: MaxPool2dGradTaps, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    grad, _, *maximum = operands
    mask, chosen = select_scratch(grad)
    return [mask, mask, chosen, *([] if maximum else [grad]), *([] if _disjoint(op) else [grad])]


@kernel(MaxPool2dGradTaps, scratch=_max_scratch)
def max_pool2d_grad_taps(op: MaxPool2dGradTaps, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Tap by tap: where the tap holds the maximum and no earlier one did, it takes the cotangent."""
    dy, x, *known = inputs
    dx, free, mask, chosen, *rest = outputs
    every = taps(op, x, dy)
    y, *share = [*known, *rest]
    steps: list[Step] = [] if known else _maximum(x, y, every)
    if share or not _covers(op, every, x):
        steps.append(partial(np.copyto, dx, scalar(0, dx)))
    if not (every and every[0].covers_all):
        steps.append(partial(np.copyto, free, scalar(1, free)))
    for place, tap in enumerate(every):
        window = tap.windows
        won, pending, target = _contiguous_like(mask, y[window]), free[window], dx[tap.image]
        steps.append(partial(np.equal, x[tap.image], y[window], won))
        steps += claims(won, pending, tap.covers_all and place == 0, place == len(every) - 1)
        bits = _contiguous_like(chosen, y[window])
        if share:
            part = _contiguous_like(share[0], y[window])
            steps += [*select(won, dy[window], bits, part), partial(np.add, target, part, target)]
        else:
            steps += select(won, dy[window], bits, target)
    return in_order(steps)


def claims(won: Array, free: Array, all_free: bool, last: bool) -> list[Step]:
    """Steps that leave a tap the windows that are still free, and take them from those after it."""
    if all_free:
        return [partial(np.logical_not, won, free)]
    claim: Step = partial(np.logical_and, won, free, won)
    return [claim] if last else [claim, partial(np.logical_xor, free, won, free)]


@kernel(AvgPool2dTaps)
def avg_pool2d_taps(op: AvgPool2dTaps, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The sum over the taps, divided in place."""
    x, y = inputs[0], outputs[0]
    first, *rest = every = taps(op, x, y)
    if first.covers_all:
        steps: list[Step] = [copied(y, x[first.image])]
    else:
        steps, rest = [partial(np.copyto, y, scalar(0, y))], every
    steps += [partial(np.add, y[t.windows], x[t.image], y[t.windows]) for t in rest]
    return in_order([*steps, partial(np.divide, y, _divisors(op, x, y), y)])


def _avg_scratch(
    op: AvgPool2dGradTaps, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    return [operands[0]]


@kernel(AvgPool2dGradTaps, scratch=_avg_scratch)
def avg_pool2d_grad_taps(op: AvgPool2dGradTaps, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Each window's share, added to the pixels of every tap."""
    dy, (dx, share) = inputs[0], outputs
    steps: list[Step] = [
        partial(np.copyto, dx, scalar(0, dx)),
        partial(np.divide, dy, _divisors(op, dx, dy), share),
    ]
    steps += [partial(np.add, dx[t.image], share[t.windows], dx[t.image]) for t in taps(op, dx, dy)]
    return in_order(steps)


def _divisors(op: AvgPoolOp, image: Array, result: Array) -> Array:
    """What each window is divided by, shaped to broadcast; one number where all are the same."""
    rows, columns = spatial_axes(op.layout)
    size = image.shape[rows], image.shape[columns]
    table = np.array(
        [[op.divisor(size, i, j) for j in range(result.shape[columns])] for i in range(result.shape[rows])]
    )
    if (table == table[0, 0]).all():
        return scalar(float(table[0, 0]), result)
    shape = [1] * result.ndim
    shape[rows], shape[columns] = table.shape
    return table.reshape(shape).astype(result.dtype)


def _disjoint(op: PoolOp) -> bool:
    """Whether no pixel belongs to two windows."""
    return all(op.stride[axis] >= extent(op.kernel_size[axis], op.dilation[axis]) for axis in (0, 1))


def _covers(op: PoolOp, every: Sequence[Tap], image: Array) -> bool:
    """Whether every pixel belongs to a tap, given that none belongs to two."""
    return sum(image[tap.image].size for tap in every) == image.size


def _contiguous_like(scratch: Array, view: Array) -> Array:
    """The beginning of ``scratch`` in the shape of ``view``."""
    return scratch.reshape(-1)[: view.size].reshape(view.shape)
