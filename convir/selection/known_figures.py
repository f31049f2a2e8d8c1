"""The figures of this machine, measured once and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import ConvLayer, strategy
from convir.runtime import KernelSet
from convir.selection import store
from convir.selection.figures import Figures
from convir.selection.measuring import measure_figures
from convir.selection.place import Place
from convir.selection.roofline import predict_nodes
from convir.selection.trial import Bench, Trial, random_parameters

#: Changed when what is measured changes: figures of before are not those that predictions are made from now.
_VERSION = 3


@lru_cache(maxsize=16)
def figures_for(kernels: KernelSet, threads: int, dtype: str) -> Figures:
    """What this machine can do with a backend: remembered, kept on disk, or measured now, in a second or a few.

    Args:
        kernels: the backend.
        threads: how many threads BLAS may use.
        dtype: element type.
    """
    asked = Place(kernels, threads).question("figures", _VERSION, dtype=dtype)
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
