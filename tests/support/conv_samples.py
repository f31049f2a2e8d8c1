"""Operands for the ops of which lowered convolutions are made, with the batch innermost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convir.ir import Op
from convir.ir.ops import (
    ComplexMatMul,
    DepthwiseConv2d,
    DepthwiseConv2dGradInput,
    DepthwiseConv2dGradWeight,
    Dft2d,
    Idft2d,
    Im2colMatMul,
    Im2colMatMulGradInput,
    Im2colMatMulGradWeight,
    ShiftedMatMul,
    ShiftedMatMulGradInput,
    ShiftedMatMulGradWeight,
)

_rng = np.random.default_rng(11)

_Sample = tuple[Op, Sequence[np.ndarray]]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(_rng.standard_normal(shape))


def _depthwise() -> list[_Sample]:
    """Images in components: of stride (2, 1) they are (C, 2*H, W, N)."""
    x, w, b = normal(3, 8, 5, 2), normal(6, 1, 3, 2), normal(6)
    strided = {"stride": (2, 1), "dilation": (1, 2)}
    return [
        (DepthwiseConv2d(), [normal(2, 4, 3, 3), normal(2, 1, 3, 2)]),
        (DepthwiseConv2d(**strided), [x, w, b]),
        (DepthwiseConv2d(**strided, activation="tanh"), [x, w, b]),
        (DepthwiseConv2d(activation="sigmoid"), [normal(1, 1, 1, 1), normal(2, 1, 1, 1), normal(2)]),
    ]


def _depthwise_grads() -> list[_Sample]:
    strided = {"stride": (2, 1), "dilation": (1, 2)}
    dy = normal(6, 3, 3, 2)
    return [
        (DepthwiseConv2dGradInput(**strided, multiplier=2), [dy, normal(6, 1, 3, 2)]),
        (DepthwiseConv2dGradWeight(**strided, kernel_size=(3, 2)), [dy, normal(3, 8, 5, 2)]),
        (DepthwiseConv2dGradInput(), [normal(2, 2, 2, 3), normal(2, 1, 3, 2)]),
        (DepthwiseConv2dGradWeight(kernel_size=(3, 2)), [normal(2, 2, 2, 3), normal(2, 4, 3, 3)]),
    ]


def _shifted() -> list[_Sample]:
    """Images in components, weights taps first."""
    strided = {"stride": (2, 1), "dilation": (1, 2), "groups": 2, "rows": 2}
    return [
        (ShiftedMatMul(), [normal(2, 4, 3, 3), normal(3, 2, 3, 2)]),
        (ShiftedMatMul(**strided), [normal(4, 8, 5, 2), normal(3, 2, 6, 2), normal(6)]),
        (ShiftedMatMul(rows=9, activation="tanh"), [normal(1, 3, 3, 1), normal(2, 2, 2, 1), normal(2)]),
    ]


def _shifted_grads() -> list[_Sample]:
    strided = {"stride": (2, 1), "dilation": (1, 2), "groups": 2, "rows": 2}
    dy = normal(6, 3, 3, 2)
    return [
        (ShiftedMatMulGradInput(**strided), [dy, normal(3, 2, 6, 2)]),
        (ShiftedMatMulGradWeight(**strided, kernel_size=(3, 2)), [dy, normal(4, 8, 5, 2)]),
        (ShiftedMatMulGradInput(rows=3), [normal(3, 2, 2, 3), normal(3, 2, 3, 2)]),
        (ShiftedMatMulGradWeight(kernel_size=(3, 2)), [normal(3, 2, 2, 3), normal(2, 4, 3, 3)]),
    ]


def _patch_products() -> list[_Sample]:
    """Blocks of rows, of pixels and of samples; of groups and of channels."""
    strided = {"stride": (2, 1), "dilation": (1, 2), "groups": 2}
    x, w, b = normal(4, 6, 5, 2), normal(6, 2, 3, 2), normal(6)
    return [
        (Im2colMatMul(channels=2, columns=12), [normal(2, 5, 4, 3), normal(3, 2, 3, 2)]),
        (Im2colMatMul(**strided, channels=2, columns=3, activation="tanh"), [x, w, b]),
        (Im2colMatMul(**strided, channels=5, columns=1), [x, w, b]),
    ]


def _patch_product_grads() -> list[_Sample]:
    strided = {"stride": (2, 1), "dilation": (1, 2), "groups": 2}
    dy = normal(6, 2, 3, 2)
    return [
        (Im2colMatMulGradInput(**strided, columns=3, input_size=(6, 5)), [dy, normal(6, 2, 3, 2)]),
        (Im2colMatMulGradWeight(**strided, columns=3, kernel_size=(3, 2)), [dy, normal(4, 6, 5, 2)]),
        (Im2colMatMulGradInput(channels=2, columns=9, input_size=(4, 3)), [normal(3, 2, 2, 3), normal(3, 2, 3, 2)]),
        (Im2colMatMulGradWeight(channels=2, columns=2, kernel_size=(3, 2)), [normal(3, 2, 2, 3), normal(2, 4, 3, 3)]),
    ]


def _transforms() -> list[_Sample]:
    """Planes of odd and even sizes, with room for the samples and without."""
    return [
        (Dft2d((5, 4), (1, 2), (1, -2)), [normal(2, 3, 2, 3)]),
        (Dft2d((2, 1), (-1, 0), (3, 1)), [normal(1, 3, 2, 2)]),
        (Idft2d((4, 5), (-1, 0), (-1, 2), (2, 3), "tanh"), [normal(3, 5, 2, 3, 2), normal(2)]),
        (Idft2d((1, 3), samples=(1, 4)), [normal(1, 3, 2, 1, 2)]),
    ]


def _complex_products() -> list[_Sample]:
    return [
        (ComplexMatMul(), [normal(3, 2, 4, 2), normal(3, 4, 5, 2)]),
        (ComplexMatMul(transpose_a=True), [normal(3, 4, 2, 2), normal(3, 4, 1, 2)]),
        (ComplexMatMul(transpose_a=True, transpose_b=True), [normal(1, 4, 2, 2), normal(1, 3, 4, 2)]),
    ]


CONV_SAMPLES: dict[type[Op], list[_Sample]] = {
    DepthwiseConv2d: _depthwise(),
    DepthwiseConv2dGradInput: _depthwise_grads()[::2],
    DepthwiseConv2dGradWeight: _depthwise_grads()[1::2],
    ShiftedMatMul: _shifted(),
    ShiftedMatMulGradInput: _shifted_grads()[::2],
    ShiftedMatMulGradWeight: _shifted_grads()[1::2],
    Im2colMatMul: _patch_products(),
    Im2colMatMulGradInput: _patch_product_grads()[::2],
    Im2colMatMulGradWeight: _patch_product_grads()[1::2],
    Dft2d: _transforms()[:2],
    Idft2d: _transforms()[2:],
    ComplexMatMul: _complex_products(),
}
