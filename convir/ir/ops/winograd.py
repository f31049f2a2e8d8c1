"""Winograd's transforms: convolution by tiles, with fewer multiplications.

F(m x m, r x r) computes a tile of m x m outputs from ``a x a`` inputs, ``a = m + r - 1``, as
``Y = A^T [U * V] A`` with ``U = G g G^T`` and ``V = B^T d B``; summed over channels, the products at each of
the ``a*a`` places are a matrix product of their own. The matrices are those of :mod:`convir.ir.cook_toom`.
Activations are (C, H, W, N); transformed ones (a*a, C, TH*TW*N), place ``u*a + v`` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir.cook_toom import CookToom, cook_toom
from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_rank, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class WinogradOp(Op):
    """What the transforms share: the tile and the kernel, rows and columns of each."""

    kind = "convolution"
    tile: Pair = (2, 2)
    kernel_size: Pair = (3, 3)

    def check(self) -> None:
        require_pair("tile", self.tile, 1)
        require_pair("kernel_size", self.kernel_size, 1)
        _ = self.matrices

    @property
    def matrices(self) -> tuple[CookToom, CookToom]:
        """Those along the rows, and those along the columns."""
        rows, columns = (cook_toom(m, r) for m, r in zip(self.tile, self.kernel_size, strict=True))
        return rows, columns

    @property
    def window(self) -> Pair:
        """Inputs of a tile, rows and columns: ``m + r - 1``."""
        rows, columns = (m + r - 1 for m, r in zip(self.tile, self.kernel_size, strict=True))
        return rows, columns

    @property
    def places(self) -> int:
        """Products of a tile for each channel and filter."""
        return prod(self.window)

    def tiles(self, size: Pair) -> Pair:
        """Tiles over an image of ``size``, rows and columns; raises ShapeError unless they fill it."""
        room = tuple(extent - r + 1 for extent, r in zip(size, self.kernel_size, strict=True))
        if any(extent < m or extent % m for extent, m in zip(room, self.tile, strict=True)):
            raise ShapeError(
                f"tiles of {self.tile} with a kernel of {self.kernel_size} do not fill an image of {size}; pad it"
            )
        return room[0] // self.tile[0], room[1] // self.tile[1]


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
    """``y[u*a+v, c, (i,j,n)] = (B^T x[c, tile (i,j), n] B)[u, v]``, tiles of a x a every m rows and columns."""

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
