"""Activation layouts: the order in which batch, channels, rows and columns lie in memory.

Model ops are NCHW. Lowered spatial ops run in CHWN: with the batch innermost, a window shifted by
one pixel is still a long contiguous row, and a convolution's matrix product has this layout already.
"""

from __future__ import annotations

from dataclasses import replace

from convir.ir.errors import ShapeError
from convir.ir.ops.window import Pair
from convir.ir.types import TensorType

NCHW = "NCHW"
CHWN = "CHWN"
LAYOUTS = (NCHW, CHWN)


def require_layout(layout: str) -> None:
    """Raise ShapeError unless ``layout`` is one convir has."""
    if layout not in LAYOUTS:
        raise ShapeError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")


def permutation(source: str, target: str) -> tuple[int, ...]:
    """The axes that bring a ``source`` tensor to ``target``: ``NCHW -> CHWN`` is (1, 2, 3, 0)."""
    return tuple(source.index(axis) for axis in target)


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes ``order``."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def spatial_axes(layout: str) -> tuple[int, int]:
    """Positions of the rows and the columns."""
    return layout.index("H"), layout.index("W")


def spatial_size(image: TensorType, layout: str) -> Pair:
    """Rows and columns of an activation."""
    rows, columns = spatial_axes(layout)
    return image.shape[rows], image.shape[columns]


def with_spatial_size(image: TensorType, layout: str, size: Pair) -> TensorType:
    """The same batch and channels over another plane."""
    rows, columns = spatial_axes(layout)
    shape = list(image.shape)
    shape[rows], shape[columns] = size
    return replace(image, shape=tuple(shape))
