from __future__ import annotations

import pytest
from support.choosing import forget
from support.machines import ROUND

from convir.selection import forecast


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache, and nothing known from before."""
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache" / "measured"
    forget()


@pytest.fixture
def round_machine(monkeypatch):
    """Predictions for a machine of round numbers."""
    monkeypatch.setattr(forecast, "figures_for", lambda kernels, threads, dtype: ROUND)
    return ROUND
