"""Direct convolution in NumPy: for each kernel tap, one matrix product with the shifted image.

Anderson, Vasudevan, Keane and Gregg, *Low-memory GEMM-based convolution algorithms for deep neural
networks*, 2017 (the kn2row family). Compiled loops do without the shifted copy; this is what runs where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, DirectConvOp, FlipWeight
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@dataclass(frozen=True)
class _Taps:
    """The operands of the products, group by group: ``x`` is what one tap sees of the image, copied."""

    op: DirectConvOp
    image: Array
    weight: Array
    shifted: Array
    chosen: Array

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        """For each tap: its view of the image, its weights (G, O, C) and where both are copied to."""
        rows, columns = self.weight.shape[2:]
        (down, across), (row_step, column_step) = self.op.stride, self.op.dilation
        height, width = self.shifted.shape[1:3]
        grouped = self.weight.reshape(self.op.groups, -1, *self.weight.shape[1:])
        for k, l in product(range(rows), range(columns)):
            row, column = k * row_step, l * column_step
            view = self.image[
                :, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * across + 1 : across
            ]
            yield view, grouped[..., k, l], self.chosen

    def matrix(self, array: Array) -> Array:
        """(C, OH, OW, N) as one matrix for each group."""
        return array.reshape(self.op.groups, array.shape[0] // self.op.groups, -1)


def _scratch(op: Conv2dDirect, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """The shifted image, one tap's weights, and one tap's product."""
    image, weight, result = operands[0], operands[1], results[0]
    return [
        image.with_shape((image.shape[0], *result.shape[1:])),
        weight.with_shape((op.groups, weight.shape[0] // op.groups, weight.shape[1])),
        result,
    ]


@kernel(Conv2dDirect, scratch=_scratch)
def conv2d_direct(op: Conv2dDirect, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The sum of one product for each tap, then the epilogue."""
    image, weight, *bias = inputs
    y, shifted, chosen, share = outputs
    taps = _Taps(op, image, weight, shifted, chosen)
    steps: list[Step] = []
    for number, (view, filters, _) in enumerate(taps):
        target = share if number else y
        steps += [copied(shifted, view), copied(chosen, filters)]
        steps.append(partial(np.matmul, chosen, taps.matrix(shifted), taps.matrix(target)))
        steps += [partial(np.add, y, share, y)] if number else []
    steps += [partial(np.add, y, vector.reshape(-1, 1, 1, 1), y) for vector in bias]
    return in_order([*steps, *epilogue(op.activation, y)])


def _grad_scratch(
    op: Conv2dDirectGradWeight, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    """The shifted image and one tap's gradient."""
    grad, image, weight = operands[0], operands[1], results[0]
    return [
        image.with_shape((image.shape[0], *grad.shape[1:])),
        weight.with_shape((op.groups, weight.shape[0] // op.groups, weight.shape[1])),
    ]


@kernel(Conv2dDirectGradWeight, scratch=_grad_scratch)
def conv2d_direct_grad_weight(op: Conv2dDirectGradWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One product for each tap."""
    grad, image = inputs
    dw, shifted, chosen = outputs
    taps = _Taps(op, image, dw, shifted, chosen)
    steps: list[Step] = []
    for view, filters, _ in taps:
        turned = taps.matrix(shifted).swapaxes(-1, -2)
        steps.append(copied(shifted, view))
        steps.append(partial(np.matmul, taps.matrix(grad), turned, chosen))
        steps.append(copied(filters, chosen))
    return in_order(steps)


@kernel(FlipWeight)
def flip_weight(op: FlipWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One strided copy."""
    weight, result = inputs[0], outputs[0]
    grouped = weight.reshape(op.groups, -1, *weight.shape[1:]).swapaxes(1, 2)[..., ::-1, ::-1]
    return copied(result.reshape(grouped.shape), grouped)


@kernel(Dilate2d)
def dilate2d(op: Dilate2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Zeros, then the elements between them."""
    x, y = inputs[0], outputs[0]
    down, across = op.stride
    return in_order([partial(np.copyto, y, scalar(0, y)), copied(y[:, ::down, ::across], x)])
