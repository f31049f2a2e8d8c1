"""What all tests of tiles share."""

import pytest


@pytest.fixture(autouse=True)
def _every_thread_gets_work(monkeypatch):
    """However small a model, it pays to divide it."""
    monkeypatch.setattr("convir.tiling.FLOPS_A_LANE", 1)
