from __future__ import annotations

import pytest

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache, and a process that has compiled nothing."""
    from convir.common import cache
    from convir.runtime.native import build

    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_known", {})
    monkeypatch.setattr(cache, "_refused", set())
    return tmp_path / "cache" / "native"
