"""Tiles' arrays from those of the whole batch, and whole-batch arrays from those of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.passes.batch import PartialMean, PartialSum, PerSample, Role
from convir.tiling import Tile

Array = NDArray[Any]


@dataclass(frozen=True)
class Transfer:
    """A value that goes into every tile's program or comes out of it.

    Attributes:
        names: tile size -> what the value is called in the program of such a tile.
        role: what it is of the whole batch.
        is_cotangent: whether it is the derivative by a value of that role, instead of the value.
    """

    names: dict[int, str]
    role: Role
    is_cotangent: bool = False

    @property
    def is_sliced(self) -> bool:
        """Whether a tile's part of it is one run of the whole batch's memory."""
        return self.role == PerSample(0)

    def part(self, whole: Array, tiles: Sequence[Tile], index: int) -> Array:
        """What tile ``index`` gets of ``whole``.

        The whole batch's value is the tiles' side by side, their sum, or their weighted mean; a tile's cotangent is the
        derivative of that times the given one.
        """
        if isinstance(self.role, PerSample):
            return samples(whole, self.role.axis, tiles[index])
        if isinstance(self.role, PartialMean):
            return np.asarray(whole * whole.dtype.type(tiles[index].size / tiles[-1].stop))
        if isinstance(self.role, PartialSum) or not self.is_cotangent or index == 0:
            return whole
        return np.zeros((), whole.dtype)

    def put(self, whole: Array, part: Array, tiles: Sequence[Tile], index: int) -> None:
        """Write what tile ``index`` computed to where it belongs; nothing for sums and means."""
        if isinstance(self.role, PerSample):
            np.copyto(samples(whole, self.role.axis, tiles[index]), part)
        elif index == 0 and not self.is_partial:
            np.copyto(whole, part)

    @property
    def is_partial(self) -> bool:
        """Whether it is known only when all tiles have run."""
        return isinstance(self.role, PartialSum | PartialMean)

    def add_up(self, whole: Array, parts: Sequence[Array], tiles: Sequence[Tile]) -> None:
        """The sum or mean of all tiles' parts, added in their order: it does not depend on which tile was first."""
        if isinstance(self.role, PartialSum):
            np.copyto(whole, parts[0])
            for part in parts[1:]:
                np.add(whole, part, out=whole)
            return
        whole[...] = 0
        for part, tile in zip(parts, tiles, strict=True):
            whole += part * whole.dtype.type(tile.size / tiles[-1].stop)


def samples(array: Array, axis: int, tile: Tile) -> Array:
    """The view of a tile's samples."""
    return array[(slice(None),) * axis + (slice(tile.start, tile.stop),)]
