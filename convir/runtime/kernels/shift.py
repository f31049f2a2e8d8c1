"""Shifted products in NumPy: BLAS takes the run that a tap sees as it lies, a matrix with longer rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import ShiftedMatMul, ShiftedMatMulGradInput, ShiftedMatMulGradWeight, ShiftOp
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.polyphase import run_length, starts, unbuffered, windows
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@dataclass(frozen=True)
class _Layer:
    """The arrays of a convolution, and the products of which it is made.

    Attributes:
        op: the convolution or a gradient of it.
        image: (C, SH*SW*H, W, N)
        weight: (KH, KW, O, C/groups)
        result: (O, OH, OW, N)
    """

    op: ShiftOp
    image: Array
    weight: Array
    result: Array

    def blocks(self) -> Iterator[_Block]:
        """The output rows, ``op.rows`` at a time."""
        rows = self.result.shape[1]
        for first in range(0, rows, self.op.rows):
            yield _Block(self, first, min(self.op.rows, rows - first))


@dataclass(frozen=True)
class _Block:
    """Some output rows of a layer."""

    layer: _Layer
    first: int
    rows: int

    @property
    def length(self) -> int:
        """Columns of the products."""
        _, _, columns, batch = self.layer.result.shape
        return run_length(self.layer.image.shape[2], self.rows, columns, batch)

    @property
    def result(self) -> Array:
        """(O, rows, OW, N)"""
        return self.layer.result[:, self.first : self.first + self.rows]

    def matrices(self, memory: Array, channels: int) -> Array:
        """The beginning of flat ``memory`` as a matrix (channels/groups, length) for each group."""
        groups = self.layer.op.groups
        return memory[: channels * self.length].reshape(groups, channels // groups, self.length)

    def windows(self, matrices: Array) -> Array:
        """The view (O, rows, OW, N) of what lies at windows."""
        _, _, columns, batch = self.layer.result.shape
        runs = matrices.reshape(-1, self.length)
        return windows(runs, self.layer.image.shape[2], self.rows, columns, batch)

    def taps(self) -> Iterator[tuple[Array, Array]]:
        """For each tap its weights (G, O/G, C/G), and the run (G, C/G, length) that it sees of the image."""
        layer, groups = self.layer, self.layer.op.groups
        flat = layer.image.reshape(groups, layer.image.shape[0] // groups, -1)
        above = self.first * layer.image.shape[2] * layer.image.shape[3]
        for k, l, start in starts(layer.op, layer.image, layer.weight.shape):
            filters = layer.weight[k, l].reshape(groups, -1, layer.weight.shape[3])
            yield filters, flat[..., above + start : above + start + self.length]


def _memory(op: ShiftOp, image: TensorType, result: TensorType, *channels: int) -> list[TensorType]:
    """For so many channels each, flat memory for the matrices of the largest block."""
    _, rows, columns, batch = result.shape
    length = run_length(image.shape[2], min(op.rows, rows), columns, batch)
    return [image.with_shape((number * length,)) for number in channels]


def _scratch(op: ShiftedMatMul, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """The sum of the products of a block so far, and one product."""
    filters = results[0].shape[0]
    return _memory(op, operands[0], results[0], filters, filters)


@kernel(ShiftedMatMul, scratch=_scratch)
def shifted_matmul(op: ShiftedMatMul, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block of rows: a product for each tap, added to those before it; then bias and activation."""
    (image, weight, *bias), (y, sums, products) = inputs, outputs
    vectors = [vector.reshape(-1, 1, 1, 1) for vector in bias]
    steps: list[Step] = []
    for block in _Layer(op, image, weight, y).blocks():
        total, share = block.matrices(sums, len(y)), block.matrices(products, len(y))
        for number, (filters, run) in enumerate(block.taps()):
            steps.append(partial(np.matmul, filters, run, share if number else total))
            steps += [partial(np.add, total, share, total)] if number else []
        seen, result = block.windows(total), block.result
        steps += [partial(np.add, seen, vector, result) for vector in vectors]
        steps += [] if bias else [copied(result, seen)]
        steps += epilogue(op.activation, result)
    return in_order(steps)


def _widened(block: _Block, memory: Array) -> tuple[Array, list[Step]]:
    """The block's cotangent as matrices with 0 at the ends of rows, and the steps that fill them."""
    wide = block.matrices(memory, len(block.result))
    clear = partial(np.copyto, wide, scalar(0, wide))
    return wide, [clear, copied(block.windows(wide), block.result)]


def _grad_scratch(
    op: ShiftedMatMulGradInput, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """A block of the cotangent, and one product."""
    grad, image = operands[0], results[0]
    return _memory(op, image, grad, grad.shape[0], image.shape[0])


@kernel(ShiftedMatMulGradInput, scratch=_grad_scratch)
def shifted_matmul_grad_input(op: ShiftedMatMulGradInput, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block of rows and each tap: a product, added to the run that the tap saw."""
    (grad, weight), (dx, memory, products) = inputs, outputs
    steps: list[Step] = [partial(np.copyto, dx, scalar(0, dx))]
    for block in _Layer(op, dx, weight, grad).blocks():
        wide, fill = _widened(block, memory)
        share = block.matrices(products, len(dx))
        steps += fill
        for filters, run in block.taps():
            steps.append(partial(np.matmul, filters.swapaxes(-1, -2), wide, share))
            steps.append(partial(np.add, run, share, run))
    return unbuffered(in_order(steps))


def _weight_scratch(
    op: ShiftedMatMulGradWeight, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """A block of the cotangent, and what it adds to one tap's weights."""
    (grad, image), (weight,) = operands, results
    return [*_memory(op, image, grad, grad.shape[0]), weight.with_shape(weight.shape[2:])]


@kernel(ShiftedMatMulGradWeight, scratch=_weight_scratch)
def shifted_matmul_grad_weight(op: ShiftedMatMulGradWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block of rows and each tap: a product, added to those of the blocks before it."""
    (grad, image), (dw, memory, product) = inputs, outputs
    steps: list[Step] = []
    for block in _Layer(op, image, dw, grad).blocks():
        wide, fill = _widened(block, memory)
        steps += fill
        for filters, run in block.taps():
            target = product.reshape(filters.shape) if block.first else filters
            steps.append(partial(np.matmul, wide, run.swapaxes(-1, -2), target))
            steps += [partial(np.add, filters, target, filters)] if block.first else []
    return in_order(steps)
