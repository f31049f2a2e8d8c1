"""Running a division: the batch in one piece, or tiles side by side in lanes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from convir.execution.protocol import Execution, Half, limited
from convir.execution.tiled import TiledBatch
from convir.execution.whole import WholeBatch
from convir.tiling import Division

__all__ = ["Execution", "Half", "execution_of", "limited"]


def execution_of(division: Division, parameters: Mapping[str, NDArray[Any]]) -> Execution:
    """The memory of a division and what runs in it.

    Args:
        division: the programs.
        parameters: the live array of each parameter.
    """
    if division.roles is None:
        return WholeBatch(division, parameters)
    return TiledBatch(division, division.roles, parameters)
