"""The patch matrix and its adjoint, in CHWN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convir.ir.ops import Col2im, Im2col, PatchOp
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@kernel(Im2col)
def im2col(op: Im2col, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy from a strided view in which every pixel stands once for each patch that it is in.

    The innermost run of the copy is a row of the output times the batch: long and contiguous.
    """
    windows = patches_of(op, inputs[0])
    return copied(outputs[0].reshape(windows.shape), windows)


@kernel(Col2im)
def col2im(op: Col2im, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """For each kernel tap, add what all patches hold for it to the shifted image."""
    image = outputs[0]
    patches = inputs[0].reshape(patches_of(op, image).shape)
    clear: Step = partial(np.copyto, image, scalar(0, image))
    adds: list[Step] = [partial(np.add, view, patches[:, k, l], view) for (k, l), view in _taps(op, image)]
    return in_order([clear, *adds])


def patches_of(op: PatchOp, image: Array) -> Array:
    """``image`` (C, H, W, N) as a view (C, KH, KW, OH, OW, N)."""
    channels, height, width, batch = image.shape
    by_channel, by_row, by_column, by_sample = image.strides
    return as_strided(
        image,
        (channels, *op.kernel_size, *op.output_size((height, width)), batch),
        (
            by_channel,
            by_row * op.dilation[0],
            by_column * op.dilation[1],
            by_row * op.stride[0],
            by_column * op.stride[1],
            by_sample,
        ),
    )


def _taps(op: PatchOp, image: Array) -> Iterator[tuple[tuple[int, int], Array]]:
    """Each kernel tap with the view of ``image`` that it sees."""
    windows = patches_of(op, image)
    for k in range(op.kernel_size[0]):
        for l in range(op.kernel_size[1]):
            yield (k, l), windows[:, k, l]
