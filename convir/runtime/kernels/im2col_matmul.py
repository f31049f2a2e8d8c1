"""The patch matrix and its products in NumPy, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import Im2col, Im2colMatMul, Im2colMatMulGradInput, Im2colMatMulGradWeight, Im2colMatMulOp
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.im2col import patches_of
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@dataclass(frozen=True)
class _Block:
    """A part of the patch matrix; G groups of C channels, and as many columns as windows.

    Attributes:
        number: how many blocks of the same channels are before it.
        seen: the view (G, C, KH, KW, rows, columns, samples) of the image.
        patches: memory of that shape.
        matrix: the same memory as matrices (G, C*KH*KW, columns).
        weight: the view (G, O/groups, C*KH*KW) of the weight.
        result: the view (G, O/groups, columns) of the result.
    """

    number: int
    seen: Array
    patches: Array
    matrix: Array
    weight: Array
    result: Array

    def gather(self) -> Step:
        """Fills the patches."""
        return copied(self.patches, self.seen)

    def scatter(self) -> Iterator[Step]:
        """Adds the patches to the image, tap by tap."""
        for k, l in np.ndindex(self.seen.shape[2:4]):
            pixels = self.seen[:, :, k, l]
            yield partial(np.add, pixels, self.patches[:, :, k, l], pixels)


def _blocks(op: Im2colMatMulOp, image: Array, weight: Array, result: Array, memory: Array) -> Iterator[_Block]:
    """The blocks of a convolution; all have their patches in the same flat memory."""
    per_group, *kernel = weight.shape[1:]
    everything = patches_of(Im2col((kernel[0], kernel[1]), op.stride, op.dilation), image)
    everything = everything.reshape(op.groups, per_group, *everything.shape[1:])
    filters = weight.reshape(op.groups, -1, per_group, prod(kernel))
    results = result.reshape(op.groups, -1, *result.shape[1:])
    for groups, channels in op.channel_blocks(per_group):
        part = filters[groups, :, channels]
        for number, windows in enumerate(op.window_blocks(result.shape)):
            seen = everything[groups, channels, :, :, *windows]
            patches = memory[: seen.size].reshape(seen.shape)
            matrix = patches.reshape(len(seen), -1, prod(seen.shape[4:]))
            columns = results[groups, :, *windows].reshape(*part.shape[:2], -1)
            yield _Block(number, seen, patches, matrix, part.reshape(*part.shape[:2], -1), columns)


def _patches(op: Im2colMatMulOp, image: TensorType, kernel: Sequence[int], result: TensorType) -> TensorType:
    """Flat memory for the patches of the largest block."""
    channels = prod(op.channel_block(image.shape[0] // op.groups))
    return image.with_shape((channels * prod(kernel) * prod(op.window_block(result.shape)),))


def _scratch(op: Im2colMatMul, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """The patches of a block."""
    return [_patches(op, operands[0], operands[1].shape[2:], results[0])]


@kernel(Im2colMatMul, scratch=_scratch)
def im2col_matmul(op: Im2colMatMul, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block: its patches, the product into the result, bias and activation."""
    (image, weight, *bias), (y, memory) = inputs, outputs
    steps: list[Step] = []
    for block in _blocks(op, image, weight, y, memory):
        steps += [block.gather(), partial(np.matmul, block.weight, block.matrix, block.result)]
    steps += [partial(np.add, y, vector.reshape(-1, 1, 1, 1), y) for vector in bias]
    return in_order([*steps, *epilogue(op.activation, y)])


def _grad_scratch(
    op: Im2colMatMulGradInput, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The gradients of the patches of a block."""
    return [_patches(op, results[0], operands[1].shape[2:], operands[0])]


@kernel(Im2colMatMulGradInput, scratch=_grad_scratch)
def im2col_matmul_grad_input(op: Im2colMatMulGradInput, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block: the product, and for each tap what all patches hold for it added to the shifted image."""
    (grad, weight), (dx, memory) = inputs, outputs
    steps: list[Step] = [partial(np.copyto, dx, scalar(0, dx))]
    for block in _blocks(op, dx, weight, grad, memory):
        turned = block.weight.swapaxes(-1, -2)
        steps += [partial(np.matmul, turned, block.result, block.matrix), *block.scatter()]
    return in_order(steps)


def _weight_scratch(
    op: Im2colMatMulGradWeight, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The patches of a block, and what it adds to the weights of as many filters as it has columns."""
    (grad, image), (weight,) = operands, results
    patches, columns = _patches(op, image, op.kernel_size, grad), prod(op.window_block(grad.shape))
    filters = min(columns, weight.shape[0] // op.groups)
    return [patches, image.with_shape((patches.size // columns * filters,))]


@kernel(Im2colMatMulGradWeight, scratch=_weight_scratch)
def im2col_matmul_grad_weight(op: Im2colMatMulGradWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each block: its patches, and the product, added to those of blocks before it some filters at a time."""
    (grad, image), (dw, memory, shares) = inputs, outputs
    filters = len(shares) * prod(op.window_block(grad.shape)) // len(memory)
    steps: list[Step] = []
    for block in _blocks(op, image, dw, grad, memory):
        turned = block.matrix.swapaxes(-1, -2)
        steps.append(block.gather())
        if block.number == 0:
            steps.append(partial(np.matmul, block.result, turned, block.weight))
            continue
        for first in range(0, block.weight.shape[1], filters):
            target = block.weight[:, first : first + filters]
            share = shares[: target.size].reshape(target.shape)
            steps.append(partial(np.matmul, block.result[:, first : first + filters], turned, share))
            steps.append(partial(np.add, target, share, target))
    return in_order(steps)
