"""Convolution by Fourier transforms: products of spectra, frequency by frequency, summed over channels.

Mathieu, Henaff and LeCun, *Fast Training of Convolutional Networks through FFTs*, ICLR 2014; Vasilache et al., *Fast
Convolutional Nets With fbfft*, ICLR 2015. Images and cotangents are (C, H, W, N), weights images of one channel,
(1, KH, KW, O*C/groups)::

    conv2d(x, w, b)           =>  idft2d(dft2d(-w) @ dft2d(x), b)
    conv2d_grad_input(dy, w)  =>  -idft2d(dft2d(-w)^T @ dft2d(-dy))
    conv2d_grad_weight(dy, x) =>  idft2d(dft2d(-dy) @ dft2d(x)^T)

where ``-`` runs through positions backwards. So the three need three spectra: those of the weight and the image serve
forward and backward, that of the cotangent both gradients.

The plane is circular, and its zeros are shared: those below the image are those above it for the next turn. A window
reads positions 0 to at most ``H + 2P - 1``, of which P to ``H + P - 1`` are the image. With H + P rows no other
position falls on one of the image, modulo H + P, so every window reads what it should: ``H + P`` rows will do, where
a linear convolution takes ``H + 2P + K - 1``, and the gradients, sums over the same pairs of positions, need no more.
:func:`~convir.ir.fourier.fast_size` then takes a few more where their transforms are faster.

Where it pays: the products take about ``2*C*O/groups`` MACs for each position and sample, whatever the kernel, where
im2col takes ``KH*KW*C*O/groups``. To that come the transforms, of C and O planes a sample and ``C*O/groups`` of the
weight (beforehand, where it is frozen). So large kernels, many channels and, while weights change, large batches pay:
with 32 channels of 64x64, from 5x5 on with 8 images, from 7x7 on with one, and from 5x5 on where weights are frozen.
The weight's spectrum is as large as kernels of the whole plane. With a stride all positions are multiplied and one of
``SH*SW`` is read; dilation costs nothing.

Rounding is that of sums of as many terms as the plane has rows and columns, relative to the whole plane: where a window
sees only zeros the result is some 1e-8 of the largest one, not 0, and a relu behind it passes a gradient on or not as
rounding has it. NaN and infinity spread over all planes of their sample, and over the whole gradient of the weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir import Node, TensorType, Value
from convir.ir.fourier import FourierAxis, fast_size
from convir.ir.ops import (
    ComplexMatMul,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    Dft2d,
    Idft2d,
    Reshape,
    Transpose,
)
from convir.ir.ops.window import Pair
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import fourier
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter

#: (O, C/groups, KH, KW) to (KH, KW, O, C/groups), and back.
_TAPS_FIRST = Transpose((2, 3, 0, 1))


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => idft2d(dft2d(-w) @ dft2d(x), b)``"""
    op, (image, weight, *bias) = node.op, operands
    assert isinstance(op, Conv2d)
    plane = _Plane.of(rewriter, op, image.type.shape[2:])
    product = rewriter.emit(ComplexMatMul(), plane.weight(weight), plane.image(image))
    _, _, *samples = node.outputs[0].type.shape
    back = Idft2d(plane.size, step=op.stride, samples=(samples[0], samples[1]), activation=op.activation)
    spectrum = plane.spectrum(product, weight.type.shape[0])
    return rewriter.emit(TO_NCHW, rewriter.emit(back, spectrum, *bias, name=node.name))


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => -idft2d(dft2d(-w)^T @ dft2d(-dy))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    plane = _Plane.of(rewriter, op, op.input_size)
    product = rewriter.emit(ComplexMatMul(transpose_a=True), plane.weight(weight), plane.cotangent(grad))
    back = Idft2d(plane.size, _negative(op.padding), (-1, -1), op.input_size)
    spectrum = plane.spectrum(product, weight.type.shape[1] * op.groups)
    return rewriter.emit(TO_NCHW, rewriter.emit(back, spectrum))


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => idft2d(dft2d(-dy) @ dft2d(x)^T)``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    plane = _Plane.of(rewriter, op, image.type.shape[2:])
    product = rewriter.emit(ComplexMatMul(transpose_b=True), plane.cotangent(grad), plane.image(image))
    back = Idft2d(plane.size, step=op.dilation, samples=op.kernel_size)
    filters, per_group = node.outputs[0].type.shape[:2]
    taps = rewriter.emit(back, plane.spectrum(product, 1))
    apart = rewriter.emit(Reshape((*op.kernel_size, filters, per_group)), taps)
    return rewriter.emit(_TAPS_FIRST, apart, name=node.name)


@dataclass(frozen=True)
class _Plane:
    """The circular plane of a convolution, in which all its operands lie.

    Attributes:
        rewriter: where the nodes go.
        op: the convolution or a gradient of it.
        size: rows and columns.
    """

    rewriter: Rewriter
    op: ConvOp
    size: Pair

    @staticmethod
    def of(rewriter: Rewriter, op: ConvOp, image: tuple[int, ...]) -> _Plane:
        """The plane for images of this size."""
        return _Plane(rewriter, op, _plane_size(op, image))

    def image(self, image: Value) -> Value:
        """The spectrum of (N, C, H, W), as matrices (C/groups, N)."""
        turned = self.rewriter.emit(TO_CHWN, image)
        return self._matrices(Dft2d(self.size, self.op.padding), turned, image.type.shape[1], image.type.shape[0])

    def cotangent(self, grad: Value) -> Value:
        """The spectrum of (N, O, OH, OW) run through backwards, as matrices (O/groups, N)."""
        turned = self.rewriter.emit(TO_CHWN, grad)
        transform = Dft2d(self.size, step=_negative(self.op.stride))
        return self._matrices(transform, turned, grad.type.shape[1], grad.type.shape[0])

    def weight(self, weight: Value) -> Value:
        """The spectrum of (O, C/groups, KH, KW) run through backwards, as matrices (O/groups, C/groups)."""
        filters, per_group, *kernel = weight.type.shape
        taps = self.rewriter.emit(_TAPS_FIRST, weight)
        row = self.rewriter.emit(Reshape((1, *kernel, filters * per_group)), taps)
        return self._matrices(Dft2d(self.size, step=_negative(self.op.dilation)), row, filters, per_group)

    def spectrum(self, matrices: Value, channels: int) -> Value:
        """Matrices of each frequency and group as the spectrum of an image of so many channels."""
        frequencies = Dft2d(self.size).frequencies
        batch = matrices.type.size // (2 * prod(frequencies) * channels)
        return self.rewriter.emit(Reshape((*frequencies, channels, batch, 2)), matrices)

    def _matrices(self, transform: Dft2d, image: Value, rows: int, columns: int) -> Value:
        """The spectrum as one matrix for each frequency and group, ``rows`` of all groups together."""
        spectrum = self.rewriter.emit(transform, image)
        groups = self.op.groups
        count = prod(transform.frequencies) * groups
        return self.rewriter.emit(Reshape((count, rows // groups, columns, 2)), spectrum)


def _plane_size(op: ConvOp, image: tuple[int, ...]) -> Pair:
    """The fastest plane that has room for images of this size."""
    (height, width), (rows, columns) = image, op.padding
    return fast_size(height + rows, real=True), fast_size(width + columns, real=False)


def _negative(pair: Pair) -> Pair:
    return -pair[0], -pair[1]


@dataclass(frozen=True)
class _Sizes:
    """The transforms of a layer, as axes of rows and of columns, and how many planes each takes.

    Attributes:
        layer: the problem.
        plane: rows and columns of the circular plane.
    """

    layer: ConvLayer
    plane: Pair

    @staticmethod
    def of(layer: ConvLayer) -> _Sizes:
        return _Sizes(layer, _plane_size(layer.op, layer.image.shape[2:]))

    def axes(self, type: TensorType) -> tuple[FourierAxis, FourierAxis]:
        """Of planes that are the last two dimensions of ``type``."""
        return Dft2d(self.plane).axes((type.shape[2], type.shape[3]))

    def transform(self, type: TensorType) -> Cost:
        """Of all planes of ``type``: W real lines and F complex ones each."""
        rows, columns = self.axes(type)
        lines = rows.macs * type.shape[3] + columns.macs * Dft2d(self.plane).frequencies[0]
        return Cost(lines * type.shape[0] * type.shape[1], multiplications=0)

    @property
    def products(self) -> Cost:
        """4 for each frequency, filter, channel of its group, and sample."""
        filters, per_group = self.layer.weight.shape[:2]
        return Cost(4 * prod(Dft2d(self.plane).frequencies) * filters * per_group * self.layer.image.shape[0])


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``4*F*NW * O * C/groups * N`` MACs, each time, and the transforms of two operands and of what comes out.

    A plane takes W transforms of columns and F of rows, see FourierAxis.macs. There are C*N planes of the image, O*N of
    the result and its cotangent, ``O*C/groups`` of the weight, which is transformed beforehand where it is frozen.
    """
    sizes = _Sizes.of(layer)
    image, weight, result = (sizes.transform(each) for each in (layer.image, layer.weight, layer.result))
    factors = Cost() if layer.frozen else weight
    return Parts(
        image + factors + sizes.products + result + layer.epilogue,
        result + factors + sizes.products + image,
        result + image + sizes.products + weight,
    )


def _shared(layer: ConvLayer) -> Cost:
    """The spectrum of the cotangent."""
    return _Sizes.of(layer).transform(layer.result)


def _error_bound(layer: ConvLayer, unit_roundoff: float) -> Parts[float]:
    """See :func:`convir.passes.lower_conv.bounds.fourier`: every step is a matrix product."""
    sizes = _Sizes.of(layer)
    types = (layer.image, layer.weight, layer.result)
    image, weight, result = (_added_up(sizes.axes(each)) for each in types)
    to_image, to_weight, to_result = (_added_up_back(sizes.axes(each)) for each in types)
    per_filter, per_channel = layer.weight.shape[1], layer.weight.shape[0] // layer.op.groups
    seen, given = (prod(each.shape[2:]) for each in (layer.image, layer.result))
    return Parts(
        fourier(image, weight, to_result, seen, per_filter + layer.biased, unit_roundoff),
        fourier(result, weight, to_image, given, per_channel, unit_roundoff),
        fourier(image, result, to_weight, seen, layer.image.shape[0], unit_roundoff),
    )


def _added_up(axes: tuple[FourierAxis, FourierAxis]) -> list[int]:
    """How many samples, then twiddled sums of them, the steps of a transform add up."""
    found: list[int] = []
    for axis in axes:
        first = axis.factors[0]
        found += [-(-axis.samples // first), first] if axis.splits else [axis.samples]
    return found


def _added_up_back(axes: tuple[FourierAxis, FourierAxis]) -> list[int]:
    """How many frequencies the steps of the inverse add up, whatever is read."""
    return [step for axis in axes for step in (axis.factors if axis.splits else (axis.size,))]


FFT = Strategy(
    "fft",
    "Fourier transforms of whole planes, products frequency by frequency",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    shared=_shared,
    operations=_operations,
    error_bound=_error_bound,
)
