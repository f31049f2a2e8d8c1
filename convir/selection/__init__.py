"""Which strategy computes a convolution fastest: predicted by a model of the machine, or measured."""

from __future__ import annotations

from collections.abc import Mapping

from convir.ir import UnsupportedError
from convir.passes.lower_conv import Choice, Chooser, StrategyChoice
from convir.passes.lower_conv.choice import CHOOSERS
from convir.runtime import KernelSet, kernels_for
from convir.selection.auto import Auto
from convir.selection.explain import Explanation, explain
from convir.selection.figures import Figures
from convir.selection.known_figures import figures_for
from convir.selection.limits import Limits
from convir.selection.measured import Measured
from convir.selection.trial import Trial

__all__ = [
    "Auto",
    "Explanation",
    "Figures",
    "Limits",
    "Measured",
    "Trial",
    "chooser",
    "explain",
    "figures_for",
    "with_choosers",
]


def chooser(name: str, backend: str | KernelSet, limits: Limits | None = None) -> Chooser:
    """Who chooses strategies: ``auto``, which predicts, or ``measure``, which tries.

    Args:
        name: one of them.
        backend: what will run the layers, by name or as a kernel set.
        limits: what a strategy may cost besides time; None for anything.

    Raises:
        UnsupportedError: another name, an unknown backend, or one that is not installed.
    """
    limits = limits or Limits()
    kernels = kernels_for(backend) if isinstance(backend, str) else backend
    if name == Auto.name:
        return Auto(kernels, limits)
    if name == Measured.name:
        return Measured(kernels, limits)
    raise UnsupportedError(f"nobody called {name!r} chooses strategies; there are: {', '.join(CHOOSERS)}")


def with_choosers(conv: StrategyChoice | None, kernels: KernelSet, limits: Limits) -> StrategyChoice | None:
    """``conv`` with who chooses in place of its name.

    Raises:
        UnsupportedError: there are limits, and nobody to keep to them.
    """
    given = conv.values() if isinstance(conv, Mapping) else (conv,)
    if limits != Limits() and not any(each in CHOOSERS for each in given if isinstance(each, str)):
        raise UnsupportedError(
            "memory_limit= and max_error= say what conv='auto' or conv='measure' may choose; "
            f"conv={conv!r} leaves nothing to choose"
        )
    if isinstance(conv, Mapping):
        return {key: _chooser_or(each, kernels, limits) for key, each in conv.items()}
    return None if conv is None else _chooser_or(conv, kernels, limits)


def _chooser_or(choice: Choice, kernels: KernelSet, limits: Limits) -> Choice:
    return chooser(choice, kernels, limits) if isinstance(choice, str) and choice in CHOOSERS else choice
