"""Why a strategy is not considered for a layer, before it is predicted or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from convir.common.table import format_bytes
from convir.ir import ConvirError, TensorType, UnsupportedError
from convir.passes.lower_conv import Candidate, ConvLayer, Strategy, strategy
from convir.runtime import NUMPY, KernelSet
from convir.runtime.kernels import Array
from convir.selection.trial import Bench, Trial, random_parameters, relative_error

#: Computes what errors are relative to.
REFERENCE = "im2col"

#: The loop nest: what the others are tested against.
NAIVE = "naive"


@dataclass(frozen=True)
class Limits:
    """What a strategy may cost besides time.

    Attributes:
        memory: most bytes of scratch that a layer may need at once in a tile of the batch; None for any number.
        error: largest relative error on random data against float64; None for any.
    """

    memory: int | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and (
            not isinstance(self.memory, int) or isinstance(self.memory, bool) or self.memory < 0
        ):
            raise ConvirError(f"memory_limit is a number of bytes, or None for any; not {self.memory!r}")
        if self.error is not None and not (_is_number(self.error) and self.error > 0):
            raise ConvirError(
                f"max_error is a positive relative error such as 1e-5, or None for any; not {self.error!r}"
            )

    def excess(self, scratch: int, error: Callable[[], float | None]) -> str:
        """Why a strategy costs too much; empty where it does not.

        Args:
            scratch: bytes that it needs at once.
            error: tells its relative error, None for elements that are no numbers; asked where it matters.
        """
        if self.memory is not None and scratch > self.memory:
            return f"needs {format_bytes(scratch)} of scratch, more than the limit of {format_bytes(self.memory)}"
        if self.error is None:
            return ""
        found = error()
        if found is not None and found <= self.error:
            return ""
        return f"has an error of {'no number' if found is None else f'{found:.1e}'}, more than {self.error:.1e}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def refusal(layer: ConvLayer, candidate: Strategy) -> str:
    """Why a strategy is not tried at all; empty where it is."""
    if candidate.name == NAIVE:
        return "is the reference: one multiplication at a time"
    return candidate.refuses(layer.op, layer.image, layer.weight) or ""


def require_one(layer: ConvLayer, candidates: Sequence[Candidate]) -> None:
    """Raise UnsupportedError where all are excluded."""
    if all(each.excluded for each in candidates):
        reasons = "; ".join(f"{each.strategy} {each.excluded}" for each in candidates)
        raise UnsupportedError(f"no strategy is left for {layer}: {reasons}")


@lru_cache(maxsize=1024)
def error_of(layer: ConvLayer, candidate: Strategy, kernels: KernelSet) -> float | None:
    """The relative error of a strategy for one image of random numbers, with the gradients that are asked for.

    Without an activation: a sum that rounds to the other side of 0 would make a gradient of it something else.
    """
    alone = replace(layer.with_batch(1), op=replace(layer.op, activation=None))
    bench = Bench(Trial.of(alone, candidate, kernels, random_parameters(alone, alone.image.dtype)))
    return relative_error(bench.results(), _exact(alone))


@lru_cache(maxsize=4)
def _exact(layer: ConvLayer) -> tuple[Array, ...]:
    """What the layer's results are in float64."""
    wide = ConvLayer(layer.op, _wide(layer.image), _wide(layer.weight), layer.biased, layer.gradients, layer.frozen)
    bench = Bench(Trial.of(wide, strategy(REFERENCE), NUMPY, random_parameters(layer, "float64")))
    return bench.results()


def _wide(type: TensorType) -> TensorType:
    return TensorType(type.shape, "float64")
