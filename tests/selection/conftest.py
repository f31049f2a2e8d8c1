from __future__ import annotations

import pytest
from support.machines import ROUND

from convir.selection import auto, known_figures


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
