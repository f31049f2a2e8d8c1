"""Both kinds of helper threads, of which none stays from test to test."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from support import helper_kinds
from support.helper_kinds import PYTHON, Kind

from convir.runtime import helpers

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")


@pytest.fixture(scope="module", params=["python", pytest.param("native", marks=needs_numba)])
def kind(request) -> Kind:
    if request.param == "python":
        return PYTHON
    from convir.runtime.native.crew import Crew

    return helper_kinds.native(Crew())


@pytest.fixture(autouse=True)
def _no_helper_stays(kind):
    helpers.stop_idle_helpers()
    assert kind.threads() == []
    yield
    helpers.stop_idle_helpers()
    assert kind.threads() == []
    assert kind.pool().serving == ()
