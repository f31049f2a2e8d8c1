"""Winograd's transforms: convolution by tiles, with fewer multiplications.

F(m x m, r x r) computes a tile of m x m outputs from ``n x n`` inputs with ``a x a`` products, as
``Y = A^T [U * V] A`` with ``U = G g G^T`` and ``V = B^T d B``; summed over channels, the products at each of
the ``a*a`` places are a matrix product of their own. The matrices are those of :mod:`convir.ir.cook_toom`:
``a = n = m + r - 1``, and more with a stride. Rows and columns may differ in all of these.
Activations are (C, H, W, N); transformed ones (a*a, C, TH*TW*N), place ``u*a + v`` first.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import prod

from convir.ir.cook_toom import CookToom, cook_toom
from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_rank, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class WinogradOp(Op):
    """What the transforms share: the tile and the kernel, rows and columns of each.

    Attributes:
        tile: outputs of a tile.
        kernel_size: taps.
        stride: inputs from the window of one output to that of the next.
        upsampling: with it there are ``upsampling - 1`` zeros behind each input, which are not stored: the gradient of
            a convolution with a stride for its input. Tiles are multiples of it.
        phase: at how many upsampled inputs before its place the window of an output begins.
    """

    kind = "convolution"
    tile: Pair = (2, 2)
    kernel_size: Pair = (3, 3)
    _: KW_ONLY
    stride: Pair = quiet((1, 1))
    upsampling: Pair = quiet((1, 1))
    phase: Pair = quiet((0, 0))

    def check(self) -> None:
        for name, least in (("tile", 1), ("kernel_size", 1), ("stride", 1), ("upsampling", 1), ("phase", 0)):
            require_pair(name, getattr(self, name), least)
        _ = self.matrices

    @property
    def matrices(self) -> tuple[CookToom, CookToom]:
        """Those along the rows, and those along the columns."""
        attributes = (self.tile, self.kernel_size, self.stride, self.upsampling, self.phase)
        rows, columns = (cook_toom(*axis) for axis in zip(*attributes, strict=True))
        return rows, columns

    @property
    def window(self) -> Pair:
        """Inputs of a tile, rows and columns: ``m + r - 1``, with a stride ``s*(m - 1) + r``."""
        rows, columns = self.matrices
        return rows.window, columns.window

    @property
    def step(self) -> Pair:
        """Inputs from one tile to the next, rows and columns."""
        rows, columns = (m * s // u for m, s, u in zip(self.tile, self.stride, self.upsampling, strict=True))
        return rows, columns

    @property
    def factors(self) -> Pair:
        """Products of a tile along the rows, and along the columns."""
        rows, columns = self.matrices
        return rows.places, columns.places

    @property
    def places(self) -> int:
        """Products of a tile for each channel and filter."""
        return prod(self.factors)

    def image_size(self, tiles: Pair) -> Pair:
        """Rows and columns of the image that so many tiles read."""
        rows, columns = (
            (count - 1) * step + window for count, step, window in zip(tiles, self.step, self.window, strict=True)
        )
        return rows, columns

    def tiles(self, size: Pair) -> Pair:
        """Tiles over an image of ``size``, rows and columns; raises ShapeError unless they fill it."""
        rows, columns = (
            (extent - window) // step + 1 for extent, step, window in zip(size, self.step, self.window, strict=True)
        )
        if min(rows, columns) < 1 or self.image_size((rows, columns)) != size:
            raise ShapeError(
                f"tiles of {self.tile} with a kernel of {self.kernel_size} do not fill an image of {size}; pad it"
            )
        return rows, columns


class WinogradWeight(WinogradOp):
    """``y[u*a+v, o, c] = (G w[o,c] G^T)[u, v]``: (O, C, KH, KW) to (a*a, O, C)."""

    name = "winograd_weight"
    operand_names = ("weight",)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (weight,) = self.operands(operands)
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        require_type("weight", weight, weight.with_shape((*weight.shape[:2], *self.kernel_size)))
        return (weight.with_shape((self.places, *weight.shape[:2])),)


class WinogradInput(WinogradOp):
    """``y[u*a+v, c, (i,j,n)] = (B^T x[c, tile (i,j), n] B)[u, v]``, tiles of n x n every s*m rows and columns."""

    name = "winograd_input"
    operand_names = ("input",)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        return (image.with_shape((self.places, channels, prod(self.tiles((height, width))) * batch)),)


@dataclass(frozen=True)
class WinogradOutput(WinogradOp):
    """``y[o, i*m+p, j*m+q, n] = act((A^T x[:, o, (i,j,n)] A)[p, q] + bias[o])``: (a*a, O, TH*TW*N) to (O, H, W, N).

    Attributes:
        tiles_across: TH and TW, how many tiles there are down and across.
    """

    name = "winograd_output"
    operand_names = ("input", "bias?")
    tiles_across: Pair = (1, 1)
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_pair("tiles_across", self.tiles_across, 1)
        require_activation(self.activation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        products, *bias = self.operands(operands)
        require_rank("input", products, 3, "(a*a, O, TH*TW*N)")
        places, filters, positions = products.shape
        if places != self.places or positions % prod(self.tiles_across):
            raise ShapeError(
                f"{products} does not hold {self.places} places of {self.tiles_across[0]} by "
                f"{self.tiles_across[1]} tiles"
            )
        for vector in bias:
            require_type("bias", vector, products.with_shape((filters,)))
        height, width = (count * m for count, m in zip(self.tiles_across, self.tile, strict=True))
        return (products.with_shape((filters, height, width, positions // prod(self.tiles_across))),)


class WinogradOutputGrad(WinogradOp):
    """``y[u*a+v, o, (i,j,n)] = (A dy[o, tile (i,j), n] A^T)[u, v]``: the adjoint of winograd_output."""

    name = "winograd_output_grad"
    operand_names = ("grad",)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (grad,) = self.operands(operands)
        require_rank("grad", grad, 4, "(O, H, W, N)")
        filters, height, width, batch = grad.shape
        if height % self.tile[0] or width % self.tile[1]:
            raise ShapeError(f"tiles of {self.tile} do not fill {grad}; pad it")
        count = height // self.tile[0] * (width // self.tile[1])
        return (grad.with_shape((self.places, filters, count * batch)),)


class WinogradWeightGrad(WinogradOp):
    """``dw[o, c] = G^T dy[:, o, c] G``: the adjoint of winograd_weight."""

    name = "winograd_weight_grad"
    operand_names = ("grad",)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (grad,) = self.operands(operands)
        require_rank("grad", grad, 3, "(a*a, O, C/groups)")
        require_type("grad", grad, grad.with_shape((self.places, *grad.shape[1:])))
        return (grad.with_shape((*grad.shape[1:], *self.kernel_size)),)
