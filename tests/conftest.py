"""Settings for every test; helpers live in ``support``."""

import os

# Before convir is imported, and for the processes that tests start: figures that are the same on every machine.
os.environ.setdefault("CONVIR_NUM_THREADS", "1")

import pytest
from hypothesis import settings

import convir

# Enough for a run of some minutes. CI says ``--hypothesis-profile=thorough``: as many as Hypothesis draws by itself.
settings.register_profile("thorough", deadline=None, derandomize=True)
settings.register_profile("default", parent=settings.get_profile("thorough"), max_examples=30)
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def _machine_code_of_its_own(tmp_path_factory):
    """What one test run compiles stays there, and is what this source gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVIR_CACHE_DIR", str(tmp_path_factory.mktemp("native")))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same random state."""
    convir.manual_seed(0)
