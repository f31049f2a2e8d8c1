"""Ops that only move elements: reshape, transpose, broadcast, pad, crop and slice."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_integers, require_rank, require_type
from convir.ir.ops.elementwise import broadcast_shapes
from convir.ir.ops.layout import NCHW, require_layout, spatial_size, with_spatial_size
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import Shape, TensorType


class LayoutOp(Op):
    """Moves elements and computes nothing."""

    kind = "layout"
    operand_names = ("input",)
    recomputable = True


@dataclass(frozen=True)
class Reshape(LayoutOp):
    """The same elements in row-major order under another shape; a view.

    In ``shape``, 0 keeps the operand's dimension at that place and one -1 takes what is left
    (ONNX's convention), so a graph can be re-specialised to another batch size.
    """

    name = "reshape"
    view = True
    shape: Shape = ()

    def check(self) -> None:
        require_integers("shape", self.shape)
        if any(dim < -1 for dim in self.shape) or self.shape.count(-1) > 1:
            raise ShapeError(f"shape may hold positive dimensions, 0 (keep) and one -1 (infer), got {list(self.shape)}")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        if any(dim == 0 and axis >= value.rank for axis, dim in enumerate(self.shape)):
            raise ShapeError(f"shape {list(self.shape)} keeps a dimension that {value} does not have")
        shape = [value.shape[axis] if dim == 0 else dim for axis, dim in enumerate(self.shape)]
        known = prod(dim for dim in shape if dim != -1)
        if -1 in shape and value.size % known == 0:
            shape[shape.index(-1)] = value.size // known
        if -1 in shape or prod(shape) != value.size:
            raise ShapeError(f"cannot reshape {value} with {value.size} elements to {shape}")
        return (value.with_shape(shape),)


@dataclass(frozen=True)
class Flatten(LayoutOp):
    """Axes ``start_dim`` to ``end_dim`` merged into one; a view."""

    name = "flatten"
    view = True
    start_dim: int = 1
    end_dim: int = -1

    def check(self) -> None:
        require_integers("start_dim and end_dim", (self.start_dim, self.end_dim))

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        if value.rank == 0:
            return (value.with_shape((1,)),)
        start, end = (normalize_axis(dim, value.rank) for dim in (self.start_dim, self.end_dim))
        if start > end:
            raise ShapeError(f"start_dim {self.start_dim} comes after end_dim {self.end_dim} in {value}")
        merged = prod(value.shape[start : end + 1])
        return (value.with_shape((*value.shape[:start], merged, *value.shape[end + 1 :])),)


@dataclass(frozen=True)
class Transpose(LayoutOp):
    """``y``'s axis ``i`` is ``x``'s axis ``permutation[i]``; a copy, so every value is contiguous."""

    name = "transpose"
    permutation: tuple[int, ...] = ()

    def check(self) -> None:
        require_integers("permutation", self.permutation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        if sorted(self.permutation) != list(range(value.rank)):
            raise ShapeError(f"{self.permutation} is not a permutation of the {value.rank} axes of {value}")
        return (value.with_shape(value.shape[axis] for axis in self.permutation),)


@dataclass(frozen=True)
class BroadcastTo(LayoutOp):
    """``x`` repeated along new or stretched axes to ``shape``, by NumPy's rule."""

    name = "broadcast_to"
    shape: Shape = ()

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        result = value.with_shape(self.shape)
        if broadcast_shapes(value.shape, result.shape) != result.shape:
            raise ShapeError(f"{value} does not broadcast to {list(self.shape)}")
        return (result,)


Margins = tuple[Pair, Pair]


@dataclass(frozen=True)
class MarginOp(LayoutOp):
    """What padding and cropping share: ``margins`` is ((top, bottom), (left, right))."""

    margins: Margins = ((0, 0), (0, 0))
    layout: str = quiet(NCHW)

    def check(self) -> None:
        if not isinstance(self.margins, tuple) or len(self.margins) != 2:
            raise ShapeError(f"margins must be ((top, bottom), (left, right)), got {self.margins!r}")
        for label, pair in zip(("rows", "columns"), self.margins, strict=True):
            require_pair(f"margin of {label}", pair, 0)
        require_layout(self.layout)

    def resized(self, image: TensorType, sign: int) -> TensorType:
        """``image`` grown (sign 1) or shrunk (sign -1) by the margins."""
        require_rank("input", image, 4, f"({', '.join(self.layout)})")
        rows, columns = spatial_size(image, self.layout)
        size = (rows + sign * sum(self.margins[0]), columns + sign * sum(self.margins[1]))
        if min(size) < 1:
            raise ShapeError(f"margins {self.margins} leave nothing of {image}")
        return with_spatial_size(image, self.layout, size)


@dataclass(frozen=True)
class Pad2d(MarginOp):
    """``x`` with margins of ``value`` around its rows and columns."""

    name = "pad2d"
    value: float = quiet(0.0)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        return (self.resized(image, 1),)


class Crop2d(MarginOp):
    """``x`` without the margins around its rows and columns."""

    name = "crop2d"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        return (self.resized(image, -1),)


@dataclass(frozen=True)
class Slice2d(LayoutOp):
    """``y[c,i,j,n] = x[c, i*S, j*S, n]``: every S-th row and column of (C, H, W, N), NumPy's ``x[:, ::SH, ::SW]``.

    A copy, so that every value is contiguous.
    """

    name = "slice2d"
    stride: Pair = (1, 1)

    def check(self) -> None:
        require_pair("stride", self.stride, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        size = [-(-image.shape[1 + axis] // self.stride[axis]) for axis in (0, 1)]
        return (image.with_shape((image.shape[0], *size, image.shape[3])),)


@dataclass(frozen=True)
class Slice2dGrad(LayoutOp):
    """``y[c, i*S, j*S, n] = x[c,i,j,n]``, and 0 elsewhere: the adjoint of slice2d, whose operand had ``input_size``."""

    name = "slice2d_grad"
    stride: Pair = (1, 1)
    input_size: Pair = (1, 1)

    def check(self) -> None:
        require_pair("stride", self.stride, 1)
        require_pair("input_size", self.input_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (grad,) = self.operands(operands)
        require_rank("input", grad, 4, "(C, H, W, N)")
        image = grad.with_shape((grad.shape[0], *self.input_size, grad.shape[3]))
        require_type("input", grad, *Slice2d(self.stride).infer(image))
        return (image,)


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis; raises ShapeError outside ``-rank <= axis < rank``."""
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} is out of range for {rank} dimensions")
    return axis % rank
