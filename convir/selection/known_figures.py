"""The figures of this machine, measured once and kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np

from convir.ir import ConvirError, TensorType
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import ConvLayer, strategy
from convir.runtime import NUMPY, KernelSet, kernels_for, thread_count
from convir.selection import store
from convir.selection.figures import Figures
from convir.selection.measuring import measure_figures
from convir.selection.place import Place
from convir.selection.roofline import predict_nodes
from convir.selection.trial import Bench, Trial, random_parameters

#: Changed when what is measured changes: figures of before are not those that predictions are made from now.
_VERSION = 4

#: What they are called on disk.
_WHAT = "figures"


@lru_cache(maxsize=16)
def figures_for(kernels: KernelSet, threads: int, dtype: str) -> Figures:
    """What this machine can do with a backend: remembered, kept on disk, or measured now, in a second or a few.

    Args:
        kernels: the backend.
        threads: how many threads BLAS may use.
        dtype: element type.
    """
    asked = Place(kernels, threads).question(_WHAT, _VERSION, dtype=dtype)
    kept = _known(store.load(asked))
    if kept is not None:
        return kept
    with store.measuring_alone():
        # Another process may have measured them while this one waited.
        return _known(store.load(asked)) or _measured(kernels, threads, dtype, asked)


def _measured(kernels: KernelSet, threads: int, dtype: str, asked: dict[str, object]) -> Figures:
    """Figures of now, which are kept."""
    found = measure_figures(threads, dtype)
    if kernels.fuses:
        found = replace(found, cycle_seconds=_cycle(kernels, found, dtype))
    store.save(asked, found.to_json())
    return found


@dataclass(frozen=True)
class KeptFigures:
    """Figures of this machine that are on disk.

    Attributes:
        backend: name of the kernel set.
        threads: how many BLAS may use.
        dtype: element type.
        when: seconds since the epoch.
        figures: what was measured.
    """

    backend: str
    threads: int
    dtype: str
    when: float
    figures: Figures

    def to_json(self) -> dict[str, Any]:
        """All attributes."""
        return asdict(self)

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        rates = f"{self.figures.peak_gflops:.3g} GFLOP/s, {self.figures.copy_gbytes[-1]:.3g} GB/s of memory"
        when = f"{datetime.fromtimestamp(self.when):%Y-%m-%d %H:%M}"
        return f"{self.backend}, {threads}, {self.dtype}: {rates}, measured {when}"


def kept_figures() -> tuple[KeptFigures, ...]:
    """The figures that predictions on this machine, by this version, are made from, in order of their names."""
    found = []
    for question, answer, when in store.everything(_WHAT):
        figures = _known(answer)
        if figures is not None and _is_of_here(question):
            backend, threads = question["backend"][0], question["threads"][0]
            found.append(KeptFigures(backend, threads, question["dtype"], when, figures))
    return tuple(sorted(found, key=lambda each: (each.backend, each.threads, each.dtype)))


def _is_of_here(question: dict[str, Any]) -> bool:
    """Whether somebody would ask it now: of this machine, this version and this build of the backend."""
    try:
        place = Place(kernels_for(question["backend"][0]), question["threads"][0])
        return bool(question == store.plain(place.question(_WHAT, _VERSION, dtype=question["dtype"])))
    except (KeyError, IndexError, TypeError, ConvirError):  # a backend that is not installed
        return False


def measure_again() -> tuple[KeptFigures, ...]:
    """Measure once more all that :func:`kept_figures` has; where there is nothing, what the usual calls need.

    A process that has predicted from the figures before goes on to.
    """
    usual = [(NUMPY.name, threads, "float32") for threads in sorted({1, thread_count()})]
    for backend, threads, dtype in [(each.backend, each.threads, each.dtype) for each in kept_figures()] or usual:
        kernels = kernels_for(backend)
        with store.measuring_alone():
            _measured(kernels, threads, dtype, Place(kernels, threads).question(_WHAT, _VERSION, dtype=dtype))
    figures_for.cache_clear()
    return kept_figures()


def _known(kept: Any) -> Figures | None:
    """The figures that were kept; None for what cannot be."""
    try:
        return None if kept is None else Figures.from_json(kept)
    except (KeyError, TypeError, ValueError):
        return None


def _cycle(kernels: KernelSet, figures: Figures, dtype: str) -> float:
    """Seconds of a cycle of the model that schedules loops: of a direct convolution whose operands stay in cache."""
    layer = ConvLayer(Conv2d(), TensorType((8, 32, 18, 18), dtype), TensorType((32, 32, 3, 3), dtype))
    trial = Trial.of(layer, strategy("direct"), kernels, random_parameters(layer, dtype))
    expected = predict_nodes(trial.program.forward.nodes, kernels, replace(figures, cycle_seconds=1.0))
    bench = Bench(trial)
    assert expected is not None
    return float(np.min([bench.run(threads=1) for _ in range(20)])) / expected.seconds
