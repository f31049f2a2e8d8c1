"""Why a strategy is not considered for a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from convir.common.table import format_bytes
from convir.ir import ConvirError, UnsupportedError
from convir.passes.lower_conv import Candidate, ConvLayer, Strategy
from convir.passes.memory import MemoryPlan
from convir.runtime import machine_bytes

#: The loop nest: what the others are tested against.
NAIVE = "naive"


@dataclass(frozen=True)
class Limits:
    """What a strategy may cost besides time.

    Attributes:
        memory: most bytes of scratch that a layer may need at once in a tile of the batch; None for any number.
        error: largest relative error on random data against float64; None for any.

    Raises:
        ConvirError: one of them is no limit.
    """

    memory: int | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and not (_is(Integral, self.memory) and self.memory >= 0):
            raise ConvirError(f"memory_limit is a number of bytes, or None for any; not {self.memory!r}")
        if self.error is not None and not (_is(Real, self.error) and math.isfinite(self.error) and self.error > 0):
            raise ConvirError(
                f"max_error is a positive relative error such as 1e-5, or None for any; not {self.error!r}"
            )

    def over_memory(self, scratch: int) -> str:
        """Why a strategy with so many bytes of scratch is too large; empty where it is not."""
        if self.memory is None or scratch <= self.memory:
            return ""
        return f"needs {format_bytes(scratch)} of scratch, more than the limit of {format_bytes(int(self.memory))}"

    def over_error(self, error: float | None) -> str:
        """Why a strategy with this error (None: elements that are no numbers) rounds too much; empty where not."""
        if self.error is None or (error is not None and error <= self.error):
            return ""
        return f"has an error of {'no number' if error is None else f'{error:.1e}'}, more than {float(self.error):.1e}"


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def refusal(layer: ConvLayer, candidate: Strategy) -> str:
    """Why a strategy is not tried at all; empty where it is."""
    if candidate.name == NAIVE:
        return "is the reference: one multiplication at a time"
    return candidate.refuses(layer.op, layer.image, layer.weight) or ""


def over_machine(plan: MemoryPlan) -> str:
    """Why a strategy does not run on this machine; empty where it does."""
    if plan.peak_bytes <= machine_bytes():
        return ""
    return f"needs {format_bytes(plan.peak_bytes)}, and this machine has {format_bytes(machine_bytes())}"


def require_one(layer: ConvLayer, candidates: Sequence[Candidate], limits: Limits) -> None:
    """Raise UnsupportedError where all are excluded, with the one that came nearest to each limit."""
    if not all(each.excluded for each in candidates):
        return
    scratch = min((each for each in candidates if each.scratch_bytes is not None), key=_scratch, default=None)
    error = min((each for each in candidates if each.error is not None), key=_error, default=None)
    nearest = list(dict.fromkeys(each for each in (scratch, error) if each is not None)) or candidates
    reasons = "; ".join(f"{each.strategy} {each.excluded}" for each in nearest)
    smaller = layer.image.shape[0] > 1 and any(limits.over_memory(_scratch(each)) for each in nearest)
    tiles = ", or ask for smaller tiles of the batch (tile=, --tile)" if smaller else ""
    raise UnsupportedError(f"no strategy is left for {layer}: {reasons}; allow more{tiles}")


def _error(candidate: Candidate) -> float:
    return candidate.error or 0.0


def _scratch(candidate: Candidate) -> int:
    return candidate.scratch_bytes or 0
