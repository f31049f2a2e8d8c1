"""What all tests of tiles share."""

import pytest

from convir.runtime import kernels_for


@pytest.fixture(autouse=True)
def _every_thread_gets_work(monkeypatch):
    """However small a model, it pays to divide it."""
    for backend in ("numpy", "auto"):
        monkeypatch.setattr(type(kernels_for(backend)), "lane_flops", 1)
