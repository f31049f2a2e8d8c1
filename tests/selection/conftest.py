from __future__ import annotations

import pytest

from convir.selection import auto, known_figures
from convir.selection.figures import COLUMNS, COPIES, INNER, ROWS, Figures

#: A machine of round numbers: every product at 50 GFLOP/s, every copy at 10 GB/s.
ROUND = Figures(
    product_gflops=tuple(tuple(tuple(50.0 for _ in COLUMNS) for _ in INNER) for _ in ROWS),
    copy_gbytes=tuple(10.0 for _ in COPIES),
    loop_seconds=1e-8,
    element_seconds=1e-9,
    wide_seconds=4e-9,
    call_seconds=1e-6,
    cycle_seconds=1e-9,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache, and nothing known from before."""
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "cache"))
    for kept in (auto.predicted, auto._decision, known_figures.figures_for):
        kept.cache_clear()
    yield tmp_path / "cache" / "measured"
    for kept in (auto.predicted, auto._decision, known_figures.figures_for):
        kept.cache_clear()


@pytest.fixture
def round_machine(monkeypatch):
    """Predictions for a machine of round numbers."""
    monkeypatch.setattr(auto, "figures_for", lambda kernels, threads, dtype: ROUND)
    return ROUND
