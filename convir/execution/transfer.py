"""Tiles' arrays from those of the whole batch, and whole-batch arrays from those of tiles: one class for each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.runtime import Executable
from convir.tiles import Tiles

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Transfer:
    """A value that goes into every tile's program or comes out of it.

    Attributes:
        names: tile size -> what the value is called in the program of such a tile.
    """

    names: Mapping[int, str]

    @property
    def is_run(self) -> bool:
        """Whether a tile's part of it is one run of the whole batch's memory."""
        return False

    def array(self, executable: Executable, size: int) -> Array:
        """Where it lives in the executable of a tile of ``size`` samples."""
        return executable.arrays[self.names[size]]


@dataclass(frozen=True, eq=False)
class Slices(Transfer):
    """In or out: a tile has its samples' slices along ``axis``."""

    axis: int

    @property
    def is_run(self) -> bool:
        """Along the first axis they are."""
        return self.axis == 0

    def part(self, whole: Array, tiles: Tiles, index: int) -> Array:
        """The view of the tile's samples."""
        tile = tiles[index]
        return whole[(slice(None),) * self.axis + (slice(tile.start, tile.stop),)]

    def put(self, whole: Array, part: Array, tiles: Tiles, index: int) -> None:
        """Write the tile's samples."""
        np.copyto(self.part(whole, tiles, index), part)


class Shared(Transfer):
    """In: every tile gets all of it."""

    def part(self, whole: Array, tiles: Tiles, index: int) -> Array:
        """All of it."""
        return whole


class Weighted(Transfer):
    """In: the cotangent of a mean over the batch, of which a tile gets as much as it has samples."""

    def part(self, whole: Array, tiles: Tiles, index: int) -> Array:
        """The tile's share."""
        return np.asarray(whole * whole.dtype.type(tiles[index].size / tiles.batch))


class FirstAlone(Transfer):
    """In: the cotangent of what all tiles compute alike; were it given to all, it would count more than once."""

    def part(self, whole: Array, tiles: Tiles, index: int) -> Array:
        """All of it for the first tile, zeros for the others."""
        return whole if index == 0 else np.zeros((), whole.dtype)


class Alike(Transfer):
    """Out: what all tiles compute alike."""

    def put(self, whole: Array, part: Array, tiles: Tiles, index: int) -> None:
        """Write the first tile's."""
        if index == 0:
            np.copyto(whole, part)


class Sum(Transfer):
    """Out: the whole batch's is the sum of the tiles'."""

    def add_up(self, whole: Array, parts: Sequence[Array], tiles: Tiles) -> None:
        """Add all tiles' parts in their order: the sum does not depend on which tile was first."""
        np.copyto(whole, parts[0])
        for part in parts[1:]:
            np.add(whole, part, out=whole)


class Mean(Transfer):
    """Out: the whole batch's is the mean of the tiles', weighted by their numbers of samples."""

    def add_up(self, whole: Array, parts: Sequence[Array], tiles: Tiles) -> None:
        """Add all tiles' weighted parts in their order."""
        whole[...] = 0
        for part, tile in zip(parts, tiles, strict=True):
            whole += part * whole.dtype.type(tile.size / tiles.batch)


Incoming = Slices | Shared | Weighted | FirstAlone

#: Known as soon as its tile has run.
Finished = Slices | Alike

#: Known when all tiles have run.
Partial = Sum | Mean
