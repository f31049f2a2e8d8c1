"""Fourier transforms in NumPy, as matrix products with the matrices of the transform.

BLAS multiplies some forty times as fast as a scalar FFT does its operations, transforms an axis wherever it lies in
memory, and leaves away samples that are zero or that nobody reads: up to some 128 points an axis that is faster, see
docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import ComplexMatMul, Dft2d, DftOp, Idft2d
from convir.ir.types import Shape
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.registry import Array, Step, in_order, kernel

_COMPLEX = {"float32": "complex64", "float64": "complex128"}


def _as_complex(pairs: Array) -> Array:
    """The view without the last axis, of pairs."""
    return pairs.view(_COMPLEX[pairs.dtype.name])[..., 0]


@lru_cache(maxsize=256)
def _roots(size: int, frequencies: int, start: int, step: int, samples: int, dtype: str) -> Array:
    """``exp(-2*pi*I * f*position/size)`` (frequencies, samples), with exact positions and rounded once."""
    positions = start + step * np.arange(samples)
    turns = np.outer(np.arange(frequencies), positions % size) % size
    found: Array = np.exp(turns * (-2j * np.pi / size)).astype(dtype)
    found.flags.writeable = False
    return found


def _matrices(op: DftOp, samples: Shape, dtype: str) -> tuple[Array, Array]:
    """Those of the rows (frequencies, H), and of the columns (frequencies, W)."""
    axes = zip(op.size, op.frequencies, op.start, op.step, samples, strict=True)
    rows, columns = (_roots(*axis, _COMPLEX[dtype]) for axis in axes)
    return rows, columns


def _rows_back(forward: Array, size: int) -> Array:
    """What real rows are of their spectrum: (H, 2*frequencies), for the real parts and then the imaginary ones.

    All frequencies but 0 and the highest one of an even size stand for their conjugates, too.
    """
    halves = np.arange(len(forward)) * 2 % size == 0
    scaled = forward * (np.where(halves, 1, 2)[:, None] / size)
    return np.concatenate([scaled.real, scaled.imag]).T.astype(forward.real.dtype, order="C")


def _between(op: DftOp, image: TensorType) -> Sequence[TensorType]:
    """For an image (C, H, W, N) the spectrum of its rows, with its parts apart by channel, and as complex numbers."""
    channels, _, width, batch = image.shape
    rows = op.frequencies[0]
    return [image.with_shape((channels, 2, rows, width, batch)), image.with_shape((rows, width, channels, batch, 2))]


def _scratch(op: Dft2d, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    return _between(op, operands[0])


@kernel(Dft2d, scratch=_scratch)
def dft2d(op: Dft2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """A real product for the rows of each channel, then a complex one for the columns of each frequency."""
    (image,), (result, parts, pairs) = inputs, outputs
    channels, height, width, _ = image.shape
    rows, columns = _matrices(op, (height, width), image.dtype.name)
    transform = np.concatenate([rows.real, rows.imag])
    spectrum = result.reshape(*op.frequencies, -1, 2)
    return in_order([
        partial(np.matmul, transform, image.reshape(channels, height, -1), parts.reshape(channels, len(transform), -1)),
        *(partial(np.copyto, pairs[..., part], parts[:, part].transpose(1, 2, 0, 3)) for part in (0, 1)),
        partial(np.matmul, columns, _as_complex(pairs).reshape(len(rows), width, -1), _as_complex(spectrum)),
    ])  # fmt: skip


def _inverse_scratch(op: Idft2d, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    return _between(op, results[0])


@kernel(Idft2d, scratch=_inverse_scratch)
def idft2d(op: Idft2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The same steps in reverse; then bias and activation."""
    (spectrum, *bias), (result, parts, pairs) = inputs, outputs
    channels, height, width, _ = result.shape
    rows, columns = _matrices(op, (height, width), result.dtype.name)
    back = np.conj(columns.T) / np.array(op.size[1], result.dtype)
    transform = _rows_back(rows, op.size[0])
    frequencies = _as_complex(spectrum).reshape(*op.frequencies, -1)
    return in_order([
        partial(np.matmul, back, frequencies, _as_complex(pairs).reshape(len(rows), width, -1)),
        *(partial(np.copyto, parts[:, part], pairs[..., part].transpose(2, 0, 1, 3)) for part in (0, 1)),
        partial(np.matmul, transform, parts.reshape(channels, 2 * len(rows), -1), result.reshape(channels, height, -1)),
        *(partial(np.add, result, vector.reshape(-1, 1, 1, 1), result) for vector in bias),
        *epilogue(op.activation, result),
    ])  # fmt: skip


@kernel(ComplexMatMul)
def complex_matmul(op: ComplexMatMul, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """BLAS; transposed operands are views."""
    a, b = (_as_complex(operand) for operand in inputs)
    left = a.swapaxes(-1, -2) if op.transpose_a else a
    right = b.swapaxes(-1, -2) if op.transpose_b else b
    return partial(np.matmul, left, right, _as_complex(outputs[0]))
