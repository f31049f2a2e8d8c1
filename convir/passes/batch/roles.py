"""What a value is when the batch runs in tiles.

These are the states of sharding propagation, with tiles that run one after the other in place of devices: what
PyTorch's DTensor calls the placements ``Replicate``, ``Shard(axis)``, ``Partial("sum")`` and ``Partial("avg")``, and
GSPMD (Xu et al., *GSPMD: General and Scalable Parallelization for ML Computation Graphs*, 2021) replicated, tiled and
partially reduced shardings.
"""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir import TensorType


@dataclass(frozen=True)
class Whole:
    """The same for every tile: a parameter, a constant, and what follows from these alone."""

    def __str__(self) -> str:
        return "the same in every tile"


@dataclass(frozen=True)
class PerSample:
    """Slice k along ``axis`` depends on sample k of the inputs only: a tile computes its samples' slices."""

    axis: int

    def __str__(self) -> str:
        return f"one slice for each sample along axis {self.axis}"


@dataclass(frozen=True)
class PartialSum:
    """The whole batch's value is the sum of the tiles' values."""

    def __str__(self) -> str:
        return "a sum over the batch"


@dataclass(frozen=True)
class PartialMean:
    """The whole batch's value is the mean of the tiles' values, weighted by their numbers of samples."""

    def __str__(self) -> str:
        return "a mean over the batch"


Role = Whole | PerSample | PartialSum | PartialMean


def is_partial(role: Role) -> bool:
    """Whether the value is known only after the last tile."""
    return isinstance(role, (PartialSum, PartialMean))


def resized(type: TensorType, role: Role, samples: int) -> TensorType:
    """The type that a value of this role has for a batch, or a tile, of ``samples``."""
    if not isinstance(role, PerSample):
        return type
    return type.with_shape(samples if axis == role.axis else dim for axis, dim in enumerate(type.shape))
