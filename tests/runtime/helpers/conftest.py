"""Both kinds of helper threads, of which none stays from test to test."""

from __future__ import annotations

import pytest
from support import helper_kinds
from support.helper_kinds import PYTHON, Kind

from convir.runtime import helpers


@pytest.fixture(scope="module", params=["python", "native"])
def kind(request) -> Kind:
    """``awake``: native ones that look for work for several milliseconds, so that a call finds them looking."""
    if request.param == "python":
        return PYTHON
    pytest.importorskip("numba")
    from convir.runtime.native.chain import LOOKS

    return helper_kinds.native(helper_kinds.crew_that_looks(LOOKS if request.param == "native" else 200_000))


@pytest.fixture(autouse=True)
def _no_helper_stays(kind, monkeypatch):
    # One that is about to end of itself may be woken too late.
    monkeypatch.setattr(helpers, "IDLE_SECONDS", 60)
    helpers.stop_idle_helpers()
    assert kind.threads() == []
    yield
    helpers.stop_idle_helpers()
    assert kind.threads() == []
    assert kind.pool().serving == ()
