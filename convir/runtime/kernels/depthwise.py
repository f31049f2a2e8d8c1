"""Depthwise convolution in NumPy: a multiplication and an addition for each tap and each block of channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import DepthwiseConv2d, DepthwiseConv2dGradInput, DepthwiseConv2dGradWeight, DepthwiseOp
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.polyphase import run_length, starts, unbuffered, windows
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar

#: Bytes of a block of channels: it, what is added to it and what is read stay in the second cache of a core together.
BLOCK_BYTES = 128 * 1024


@dataclass(frozen=True)
class _Layer:
    """The arrays of a convolution with channels apart, and what each tap reads.

    Attributes:
        op: the convolution or a gradient of it.
        image: (C, SH*SW*H, W, N)
        weight: (C, M, KH, KW)
        result: (C, M, OH, OW, N)
    """

    op: DepthwiseOp
    image: Array
    weight: Array
    result: Array

    @classmethod
    def of(cls, op: DepthwiseOp, image: Array, weight: Array, result: Array) -> _Layer:
        channels = image.shape[0]
        filters = weight.reshape(channels, -1, *weight.shape[2:])
        return cls(op, image, filters, result.reshape(channels, -1, *result.shape[1:]))

    def blocks(self, size: int) -> Iterator[slice]:
        """The channels, ``size`` at a time."""
        return (slice(first, first + size) for first in range(0, self.image.shape[0], size))

    def runs(self, channels: slice) -> Iterator[tuple[Array, Array]]:
        """For each tap the run (C, 1, run) that it sees of the image, and its weights (C, M, 1)."""
        flat = self.image[channels].reshape(-1, 1, self.image[0].size)
        length = run_length(self.image.shape[2], *self.result.shape[2:])
        for k, l, start in starts(self.op, self.image, self.weight.shape[2:]):
            yield flat[..., start : start + length], self.weight[channels, :, k, l, None]

    def windows(self, runs: Array) -> Array:
        """The view (C, M, OH, OW, N) of runs (C, M, run)."""
        return windows(runs, self.image.shape[2], *self.result.shape[2:])


def _run_scratch(op: DepthwiseOp, image: TensorType, result: TensorType) -> Sequence[TensorType]:
    """For a block of channels two arrays of runs."""
    filters, rows, columns, batch = result.shape
    channels, run = image.shape[0], run_length(image.shape[2], rows, columns, batch)
    size = filters // channels * run * image.itemsize
    block = max(1, min(channels, BLOCK_BYTES // size))
    return [image.with_shape((block, filters // channels, run))] * 2


def _scratch(
    op: DepthwiseConv2d, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The sum so far and one tap's share."""
    return _run_scratch(op, operands[0], results[0])


@kernel(DepthwiseConv2d, scratch=_scratch)
def depthwise_conv2d(op: DepthwiseConv2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block of channels: the taps, then bias and activation while it is in cache."""
    (image, weight, *bias), (y, total, share) = inputs, outputs
    layer = _Layer.of(op, image, weight, y)
    vectors = [vector.reshape(*layer.result.shape[:2], 1, 1, 1) for vector in bias]
    steps: list[Step] = []
    for channels in layer.blocks(len(total)):
        result = layer.result[channels]
        summed, added = total[: len(result)], share[: len(result)]
        for number, (run, filters) in enumerate(layer.runs(channels)):
            steps.append(partial(np.multiply, run, filters, added if number else summed))
            steps += [partial(np.add, summed, added, summed)] if number else []
        windows = layer.windows(summed)
        steps += [partial(np.add, windows, vector[channels], result) for vector in vectors]
        steps += [] if bias else [copied(result, windows)]
        steps += epilogue(op.activation, result)
    return unbuffered(in_order(steps))


def _grad_scratch(
    op: DepthwiseConv2dGradInput, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The cotangent with 0 at the ends of rows, and one tap's share."""
    return _run_scratch(op, results[0], operands[0])


@kernel(DepthwiseConv2dGradInput, scratch=_grad_scratch)
def depthwise_conv2d_grad_input(
    op: DepthwiseConv2dGradInput, inputs: Sequence[Array], outputs: Sequence[Array]
) -> Step:
    """For each block of channels and each tap: its share of the cotangent, added to the run that it saw."""
    (grad, weight), (dx, wide, share) = inputs, outputs
    layer = _Layer.of(op, dx, weight, grad)
    steps: list[Step] = [partial(np.copyto, dx, scalar(0, dx))]
    for channels in layer.blocks(len(wide)):
        given = layer.result[channels]
        source, added = wide[: len(given)], share[: len(given)]
        steps.append(partial(np.copyto, source, scalar(0, source)))
        steps.append(copied(layer.windows(source), given))
        for run, filters in layer.runs(channels):
            steps.append(partial(np.multiply, source, filters, added))
            steps += [partial(np.add, run[:, 0], added[:, m], run[:, 0]) for m in range(op.multiplier)]
    return unbuffered(in_order(steps))


def _row_scratch(
    op: DepthwiseConv2dGradWeight, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The dot products of rows with one tap."""
    grad, image = operands
    return [image.with_shape((image.shape[0], grad.shape[0] // image.shape[0], grad.shape[1]))]


@kernel(DepthwiseConv2dGradWeight, scratch=_row_scratch)
def depthwise_conv2d_grad_weight(
    op: DepthwiseConv2dGradWeight, inputs: Sequence[Array], outputs: Sequence[Array]
) -> Step:
    """For each tap, the dot products of all rows of the cotangent with what the tap saw, and their sums."""
    (grad, image), (dw, rows) = inputs, outputs
    layer = _Layer.of(op, image, dw, grad)
    *_, height, columns, batch = layer.result.shape
    given = layer.result.reshape(*layer.result.shape[:3], -1)
    steps: list[Step] = []
    for run, filters in layer.runs(slice(None)):
        seen = windows(run, image.shape[2], height, columns, batch).reshape(len(image), 1, height, -1)
        steps.append(partial(np.vecdot, given, seen, rows))
        steps.append(partial(np.add.reduce, rows, axis=-1, out=filters[..., 0]))
    return in_order(steps)
