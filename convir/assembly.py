"""Whole-batch arrays from those of tiles, and tiles' arrays from those of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir import TensorType
from convir.passes.batch import PartialMean, PartialSum, PerSample, Role
from convir.tiling import Tile

Array = NDArray[Any]


class Assembly:
    """A whole-batch value being put together from its tiles.

    Args:
        role: what the value is.
        type: its type for the whole batch.
        tiles: the parts of the batch.
    """

    def __init__(self, role: Role, type: TensorType, tiles: Sequence[Tile]) -> None:
        self.role, self.type, self.tiles = role, type, tiles
        partial = isinstance(role, PartialSum | PartialMean)
        self._parts = np.empty((len(tiles), *type.shape), type.dtype) if partial else None
        self._weights = [tile.size / tiles[-1].stop if isinstance(role, PartialMean) else 1.0 for tile in tiles]

    def put(self, index: int, part: Array, whole: Array) -> None:
        """Take over what tile ``index`` computed; tiles may come in any order, and from several threads."""
        tile = self.tiles[index]
        if isinstance(self.role, PerSample):
            np.copyto(samples(whole, self.role.axis, tile), part)
        elif self._parts is not None:
            np.multiply(part, self._weights[index], out=self._parts[index, ...])
        elif index == 0:
            np.copyto(whole, part)

    def finish(self, whole: Array) -> None:
        """Add up sums and means, in the order of the tiles, so that the result does not depend on who was first."""
        if self._parts is not None:
            add_up(list(self._parts), whole)


def add_up(parts: Sequence[Array], whole: Array) -> None:
    """``whole`` = the sum of ``parts``, added from the first to the last."""
    np.copyto(whole, parts[0])
    for part in parts[1:]:
        np.add(whole, part, out=whole)


def samples(array: Array, axis: int, tile: Tile) -> Array:
    """The view of a tile's samples."""
    return array[(slice(None),) * axis + (slice(tile.start, tile.stop),)]


def cotangent_part(role: Role, whole: Array, tiles: Sequence[Tile], index: int) -> Array:
    """What a tile gets of the cotangent of a value of this role.

    The whole batch's value is the tiles' side by side, their sum, or their weighted mean; each tile's cotangent is
    the derivative of that times the given one.
    """
    tile = tiles[index]
    if isinstance(role, PerSample):
        return samples(whole, role.axis, tile)
    if isinstance(role, PartialMean):
        return np.asarray(whole * whole.dtype.type(tile.size / tiles[-1].stop))
    if isinstance(role, PartialSum) or index == 0:
        return whole
    return np.zeros((), whole.dtype)
