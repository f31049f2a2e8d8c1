"""Two-dimensional discrete Fourier transforms of real planes, and the products between them.

A complex number is a pair of real ones along the last axis, real part first, as in ONNX's ``DFT`` and PyTorch's
``view_as_real``. Of the frequencies of real planes some half is kept along the rows, F of them: the others are their
conjugates. :class:`~convir.ir.fourier.FourierAxis` has their order, which a product for each frequency need not know.

A plane of NH rows and NW columns is circular: position NH is position 0. It has samples at
``start + step * index`` along each axis and zeros elsewhere, so that where zeros lie, how far samples are apart and
which way they run costs nothing: not padding, stride, dilation nor reflection.
"""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.fourier import FourierAxis
from convir.ir.op import Op, quiet, require_float, require_integers, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class DftOp(Op):
    """What both transforms share.

    Attributes:
        size: NH and NW, rows and columns of the plane.
        start: row and column of the first sample, modulo the size.
        step: rows and columns from a sample to the next; negative where they run backwards.
    """

    kind = "convolution"
    size: Pair = (1, 1)
    start: Pair = quiet((0, 0))
    step: Pair = quiet((1, 1))

    def check(self) -> None:
        require_pair("size", self.size, 1)
        for name in ("start", "step"):
            require_integers(name, getattr(self, name))
            if len(getattr(self, name)) != 2:
                raise ShapeError(f"{name} must be two integers, got {getattr(self, name)!r}")

    def axes(self, samples: Pair = (1, 1)) -> tuple[FourierAxis, FourierAxis]:
        """Rows and columns with so many samples."""
        given = zip(self.size, (True, False), samples, self.start, self.step, strict=True)
        rows, columns = (FourierAxis(*axis) for axis in given)
        return rows, columns

    @property
    def frequencies(self) -> Pair:
        """F along the rows, NW along the columns."""
        rows, columns = (axis.kept * axis.factors[0] for axis in self.axes())
        return rows, columns


class Dft2d(DftOp):
    """``y[f,g,c,n] = sum over i,j of x[c,i,j,n] * exp(-2*pi*I * (f*row(i)/NH + g*column(j)/NW))``

    with ``row(i) = start[0] + step[0]*i`` and columns likewise: (C, H, W, N) to (F, NW, C, N, 2).
    """

    name = "dft2d"
    operand_names = ("input",)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        require_float("input", image)
        return (image.with_shape((*self.frequencies, image.shape[0], image.shape[3], 2)),)


@dataclass(frozen=True)
class Idft2d(DftOp):
    """``y[c,i,j,n] = act(sum over f,g of x[f,g,c,n] * exp(2*pi*I * (f*row(i)/NH + g*column(j)/NW)) / (NH*NW) + bias[c])``

    over all NH frequencies: (F, NW, C, N, 2) to (C, H, W, N). The inverse of dft2d, read at some positions.

    Attributes:
        samples: H and W, how many rows and columns are read.
    """  # noqa: E501

    name = "idft2d"
    operand_names = ("input", "bias?")
    samples: Pair = (1, 1)
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_pair("samples", self.samples, 1)
        require_activation(self.activation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        spectrum, *bias = self.operands(operands)
        require_rank("input", spectrum, 5, "(F, NW, C, N, 2)")
        require_float("input", spectrum)
        channels, batch = spectrum.shape[2:4]
        require_type("input", spectrum, spectrum.with_shape((*self.frequencies, channels, batch, 2)))
        for vector in bias:
            require_same_dtype(input=spectrum, bias=vector)
            require_type("bias", vector, spectrum.with_shape((channels,)))
        return (spectrum.with_shape((channels, *self.samples, batch)),)


@dataclass(frozen=True)
class ComplexMatMul(Op):
    """``y = op(a) @ op(b)`` of complex matrices: (F, M, K, 2) and (F, K, N, 2) to (F, M, N, 2)

    for each F by itself. ``op`` transposes where asked, without conjugating.
    """

    name = "complex_matmul"
    kind = "matmul"
    operand_names = ("a", "b")
    transpose_a: bool = quiet(False)
    transpose_b: bool = quiet(False)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        a, b = self.operands(operands)
        for label, operand in (("a", a), ("b", b)):
            require_rank(label, operand, 4, "(F, rows, columns, 2)")
            require_float(label, operand)
            require_type(label, operand, operand.with_shape((*operand.shape[:3], 2)))
        require_same_dtype(a=a, b=b)
        rows, inner = a.shape[2:0:-1] if self.transpose_a else a.shape[1:3]
        inner_b, columns = b.shape[2:0:-1] if self.transpose_b else b.shape[1:3]
        if a.shape[0] != b.shape[0] or inner != inner_b:
            raise ShapeError(
                f"{a} and {b} do not fit: {a.shape[0]} and {b.shape[0]} products, "
                f"inner dimensions {inner} and {inner_b}"
            )
        return (a.with_shape((a.shape[0], rows, columns, 2)),)
