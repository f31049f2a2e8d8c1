"""What ``import convir`` gives, and what it leaves for later."""

from __future__ import annotations

import subprocess
import sys

import pytest

import convir


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", ["training", "data", "compare", "Comparison"])
def test_it_is_there_without_an_import_of_its_own(name):
    assert name in convir.__all__
    assert python(f"import convir; print('{name}' in dir(convir), convir.{name} is convir.{name})") == "True True"
    assert python(f"from convir import {name}; print(hasattr({name}, '__module__') or {name}.__name__)")


def test_it_is_imported_when_first_asked_for():
    later = ["convir.training", "convir.data", "convir.comparison"]
    assert python(f"import sys, convir; print([name for name in {later} if name in sys.modules])") == "[]"
    assert python("import convir; convir.training.fit, convir.data.digits; print(convir.compare.__name__)") == "compare"


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'convir' has no attribute 'trainign'"):
        _ = convir.trainign
    assert not hasattr(convir, "trainign")
