"""What is the same for every contender of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convir.compiler import pipeline
from convir.ir import UnsupportedError
from convir.passes.dropout import RemoveDropout
from convir.passes.lower_conv import strategy
from convir.passes.lower_conv.choice import CHOOSERS
from convir.passes.manager import Pass
from convir.runtime import kernels_for, thread_count
from convir.selection import Limits, with_choosers


@dataclass(frozen=True)
class Settings:
    """How contenders are compiled and timed.

    Attributes:
        backward: whether a run is a forward and a backward, or a forward alone.
        repeats: counted runs of each contender at most.
        time_budget: seconds that the runs of each may take.
        backend: what runs the steps: the name of a kernel set.
        threads: how many BLAS may use in a step.
        inference: whether parameters are folded, so that what follows from them alone takes no time.
    """

    backward: bool
    repeats: int
    time_budget: float
    backend: str
    threads: int
    inference: bool = False

    def passes(self, lowering: str) -> list[Pass]:
        """What :func:`convir.compile` runs, without dropout: random masks would differ."""
        return passes(lowering, self.backward, self.backend, self.inference)


def checked_settings(
    backward: bool, repeats: int, time_budget: float, backend: str, threads: int | None, inference: bool = False
) -> Settings:
    """Settings as users give them: see :func:`convir.compare`.

    Raises:
        UnsupportedError: ``repeats`` or ``time_budget`` out of range, an unknown or missing backend, or ``inference``
            together with ``backward``.
        ConvirError: ``threads`` is not a positive integer.
    """
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise UnsupportedError(f"repeats must be an integer of at least 1, got {repeats!r}")
    if not (_is_number(time_budget) and time_budget > 0 and math.isfinite(time_budget)):
        raise UnsupportedError(f"time_budget must be a positive number of seconds, got {time_budget!r}")
    if backward and inference:
        raise UnsupportedError(
            "inference folds the parameters, and then nothing is left to differentiate by: compare with inference or "
            "with backward, not with both"
        )
    return Settings(
        bool(backward), repeats, time_budget, kernels_for(backend).name, thread_count(threads), bool(inference)
    )


def passes(lowering: str, backward: bool, backend: str = "numpy", inference: bool = False) -> list[Pass]:
    """The pipeline with this lowering, or who chooses one, without dropout, with or without a backward."""
    conv = with_choosers(lowering, kernels_for(backend), Limits())
    wrt = None if backward else ()
    return [RemoveDropout(), *pipeline(conv=conv, wrt=wrt, inference=inference, backend=backend)]


def checked_lowerings(lowerings: Sequence[str]) -> list[str]:
    """The names in ``lowerings``; raises UnsupportedError unless each is known and there once."""
    names = [lowerings] if isinstance(lowerings, str) else list(lowerings)
    if not names:
        raise UnsupportedError("there is nothing to compare: lowerings is empty")
    for name in names:
        if not isinstance(name, str):
            raise UnsupportedError(f"lowerings are names of strategies, and {name!s:.80} is none")
        if name not in CHOOSERS:
            strategy(name)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UnsupportedError(f"each lowering is compared once, but lowerings names {', '.join(twice)} more than once")
    return names


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
