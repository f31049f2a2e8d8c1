"""Fourier transforms in NumPy: every step of them is a matrix product over all lines at once.

BLAS transforms an axis wherever it lies in memory, and leaves away samples that are zero or that nobody reads. See
docs/decisions/0016 for what ``numpy.fft`` takes beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convir.ir import TensorType
from convir.ir.fourier import FourierAxis
from convir.ir.ops import ComplexMatMul, Dft2d, DftOp, Idft2d
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel

_COMPLEX = {"float32": "complex64", "float64": "complex128"}

Types = Sequence[TensorType]

#: A matrix, what it multiplies, and where the product goes.
Product = tuple[Array, Array, Array]


def _as_complex(pairs: Array) -> Array:
    """The view without the last axis, of pairs."""
    return pairs.view(_COMPLEX[pairs.dtype.name])[..., 0]


def _roots(frequencies: Array, positions: Array, size: int) -> Array:
    """``exp(-2*pi*I * f*position/size)`` of each frequency and position; the products are reduced exactly."""
    angles = frequencies[..., None] * positions % size * (-2 * np.pi / size)
    return np.cos(angles) + 1j * np.sin(angles)


@lru_cache(maxsize=256)
def _matrices(axis: FourierAxis, dtype: str) -> tuple[Array, ...]:
    """That of one step, (p*F, samples); or of two: (p*f2, j2) for each j1, and (f2, p*a, p*a).

    Real samples have p = 2 results, the real parts of all ``f1`` and the imaginary ones, for each ``f2``.
    """
    (a, b), f2 = axis.factors, np.arange(axis.kept)
    frequencies = f2[:, None] + b * np.arange(a)
    if not axis.splits:
        whole = _roots(frequencies, axis.start + axis.step * np.arange(axis.samples), axis.size)
        return (_rows(whole, axis).astype(dtype),)
    first = _roots(f2, axis.step * np.arange(-(-axis.samples // a)), b)
    second = _roots(frequencies, axis.start + axis.step * np.arange(a), axis.size)
    if axis.real:
        second = np.block([[second.real, -second.imag], [second.imag, second.real]])
    return _rows(first, axis).astype(dtype), second.astype(dtype)


def _rows(roots: Array, axis: FourierAxis) -> Array:
    """(f2, ..., samples) as a matrix, of a real axis with the parts apart for each f2."""
    found = np.stack([roots.real, roots.imag], axis=1) if axis.real else roots
    return found.reshape(-1, roots.shape[-1])


def _products(axis: FourierAxis, samples: Array, between: Array, spectrum: Array) -> list[Product]:
    """What transforms an axis.

    Args:
        axis: the axis.
        samples: (lines, samples, columns)
        between: flat memory for the first of two steps.
        spectrum: (lines, p*F, columns)
    """
    first, *second = _matrices(axis, samples.dtype.name)
    if not second:
        return [(first, samples, spectrum)]
    (lines, count, columns), a = samples.shape, axis.factors[0]
    whole, more = divmod(count, a)
    middle = between[: lines * len(first) * a * columns].reshape(lines, len(first), a, columns)
    by_j1 = middle.swapaxes(1, 2)
    products = [(first[:, :whole], _every(samples[:, more:], a, a - more, whole), by_j1[:, more:])]
    if more:
        products.append((first, _every(samples, a, more, whole + 1), by_j1[:, :more]))
    blocks = (lines, axis.kept, -1, columns)
    return [*products, (second[0], middle.reshape(blocks), spectrum.reshape(blocks))]


def _every(samples: Array, step: int, classes: int, count: int) -> Array:
    """The view (lines, classes, count, columns) of every ``step``-th of the samples, from each of the first ones on."""
    by_line, by_sample, by_column = samples.strides
    shape = (len(samples), classes, count, samples.shape[2])
    return as_strided(samples, shape, (by_line, by_sample, step * by_sample, by_column))


def _inverses(axis: FourierAxis, products: Sequence[Product]) -> list[Product]:
    """What takes the spectrum back to the samples: the adjoints in reverse, with frequencies for their conjugates."""
    *others, (matrix, source, target) = products
    conjugates = axis.real & (2 * np.arange(axis.kept) % axis.factors[1] != 0)
    weights = np.where(conjugates, 2, 1)[:, None, None] / axis.size
    scaled = (matrix.reshape(axis.kept, -1, matrix.shape[-1]) * weights).reshape(matrix.shape).astype(matrix.dtype)
    turned = [(scaled, target, source), *((each, to, of) for each, of, to in reversed(others))]
    return [(np.conj(each.swapaxes(-1, -2)), of, to) for each, of, to in turned]


@dataclass(frozen=True)
class _Passes:
    """A transform of (C, H, W, N): rows of each channel, another order, columns of each frequency.

    Attributes:
        op: the transform or its inverse.
        image: (C, H, W, N)
        spectrum: (F, NW, C, N, 2)
        parts: the spectrum of the rows by channel, real and imaginary parts apart: (C, f2, 2, a, W, N)
        pairs: the same by frequency, as complex numbers: (f2, a, W, C, N, 2)
        between: (F, NW, C, N, 2) where the columns take two steps; the rows' first step is where the pairs will be.
    """

    op: DftOp
    image: Array
    spectrum: Array
    parts: Array
    pairs: Array
    between: Sequence[Array]

    @property
    def axes(self) -> tuple[FourierAxis, FourierAxis]:
        return self.op.axes((self.image.shape[1], self.image.shape[2]))

    def rows(self) -> list[Product]:
        lines = (self.image.shape[0], -1, self.image.shape[2] * self.image.shape[3])
        return _products(self.axes[0], self.image.reshape(lines), self.pairs.reshape(-1), self.parts.reshape(lines))

    def columns(self) -> list[Product]:
        count, size = self.op.frequencies
        between = self.between[0] if self.between else self.pairs
        samples = _as_complex(self.pairs).reshape(count, self.image.shape[2], -1)
        spectrum = _as_complex(self.spectrum).reshape(count, size, -1)
        return _products(self.axes[1], samples, _as_complex(between).reshape(-1), spectrum)

    def orders(self) -> list[tuple[Array, Array]]:
        """The same numbers in ``parts`` and in ``pairs``."""
        return [(self.parts[:, :, part].transpose(1, 2, 3, 0, 4), self.pairs[..., part]) for part in (0, 1)]


def _work(op: DftOp, image: TensorType, spectrum: TensorType) -> Types:
    """Parts, pairs and where they are needed, what is between the steps of the columns."""
    channels, height, width, batch = image.shape
    rows, columns = op.axes((height, width))
    f2, a = rows.kept, rows.factors[0]
    parts, pairs = (channels, f2, 2, a, width, batch), (f2, a, width, channels, batch, 2)
    return [image.with_shape(parts), image.with_shape(pairs), *([spectrum] if columns.splits else [])]


def _scratch(op: Dft2d, operands: Types, results: Types) -> Types:
    return _work(op, operands[0], results[0])


@kernel(Dft2d, scratch=_scratch)
def dft2d(op: Dft2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Real products for the rows of each channel, then complex ones for the columns of each frequency."""
    (image,), (result, parts, pairs, *between) = inputs, outputs
    passes = _Passes(op, image, result, parts, pairs, between)
    return in_order([
        *(partial(np.matmul, *product) for product in passes.rows()),
        *(copied(by_frequency, by_channel) for by_channel, by_frequency in passes.orders()),
        *(partial(np.matmul, *product) for product in passes.columns()),
    ])  # fmt: skip


def _inverse_scratch(op: Idft2d, operands: Types, results: Types) -> Types:
    return _work(op, results[0], operands[0])


@kernel(Idft2d, scratch=_inverse_scratch)
def idft2d(op: Idft2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The adjoints of all steps in reverse; then bias and activation."""
    (spectrum, *bias), (result, parts, pairs, *between) = inputs, outputs
    passes = _Passes(op, result, spectrum, parts, pairs, between)
    rows, columns = passes.axes
    return in_order([
        *(partial(np.matmul, *product) for product in _inverses(columns, passes.columns())),
        *(copied(by_channel, by_frequency) for by_channel, by_frequency in passes.orders()),
        *(partial(np.matmul, *product) for product in _inverses(rows, passes.rows())),
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
