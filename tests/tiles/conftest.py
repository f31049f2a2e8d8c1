"""What all tests of tiles share."""

import os

import pytest

from convir.runtime import kernels_for


@pytest.fixture(autouse=True)
def _every_thread_gets_work(monkeypatch):
    """However small a model, it pays to divide it; and however small the machine."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for backend in ("numpy", "auto"):
        monkeypatch.setattr(type(kernels_for(backend)), "lane_flops", 1)
