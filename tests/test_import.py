"""What ``import convir`` gives, and what it leaves for later."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import convir

LAZY = sorted(convir._LAZY)


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout.strip()


def loaded(code: str) -> set[str]:
    """Modules that ``code`` imports, in a fresh interpreter that has NumPy already."""
    report = "print(json.dumps(sorted(set(sys.modules) - before)))"
    return set(json.loads(python(f"import json, sys, numpy; before = set(sys.modules)\n{code}\n{report}")))


def packages(modules: set[str]) -> set[str]:
    """Top-level packages that do not come with Python."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("convir.")}


TRACE = "print(convir.trace(convir.nn.functional.relu, (2, 3)), file=sys.stderr)"
RUN = "convir.compile(convir.nn.Flatten(), (2, 3), inference=True)(numpy.zeros((2, 3), 'float32'))"


@pytest.mark.parametrize("then", ["pass", TRACE])
def test_importing_and_tracing_load_the_frontend_and_no_more(then):
    modules = loaded(f"import convir; {then}")
    assert packages(modules) == {"convir", "numpy"}
    assert rooms(modules) == {"common", "ir", "frontend", "nn"}
    # Both are slow to import, and for few: who draws, who prints a constant.
    assert not {"numpy.random", "hashlib"} & modules


def test_compiling_and_running_for_inference_load_no_drawing_and_no_networkx():
    modules = loaded(f"import convir; {RUN}")
    assert not {"networkx", "rich", "graphviz", "matplotlib"} & modules
    assert {"passes", "runtime"} <= rooms(modules)
    assert not {"reports", "comparison", "training", "data", "dump", "cli", "zoo"} & rooms(modules)


def test_a_type_checker_and_the_interpreter_find_the_same_names_in_the_same_modules():
    tree = ast.parse(Path(convir.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    declared = {alias.name: line.module for line in block.body for alias in line.names}
    # ``from convir import data`` stands for the module convir.data.
    declared = {name: f"convir.{name}" if module == "convir" else module for name, module in declared.items()}
    assert declared == convir._LAZY
    assert set(LAZY) < set(convir.__all__)


def test_all_public_names_come_with_a_star_and_have_help():
    star = "from convir import *; import convir; print([name for name in convir.__all__ if name not in globals()])"
    assert python(star) == "[]"
    shown = python("import pydoc, convir; print(pydoc.plain(pydoc.render_doc(convir)))")
    assert "Compile a model." in shown


def test_a_lazy_name_pickles_by_the_module_that_has_it():
    code = "import pickle, convir; {}; print(pickle.loads(pickle.dumps(convir.compile)) is convir.compile)"
    assert python(code.format("pass")) == python(code.format("convir.Compiled")) == "True"


@pytest.mark.parametrize("names", [LAZY, LAZY[::-1]], ids=["in order", "backwards"])
def test_they_are_there_without_an_import_of_their_own(names):
    listed = f"import convir; print([name for name in {names} if name not in dir(convir)])"
    imported = "\n".join(
        f"from convir import {name}; assert {name} is convir.{name} is convir.{name}" for name in names
    )
    assert python(f"{listed}\n{imported}\n{listed}") == "[]\n[]"


def test_they_are_imported_when_first_asked_for():
    assert not set(convir._LAZY.values()) & loaded("import convir")
    assert python("import convir; convir.training.fit, convir.data.digits; print(convir.compare.__name__)") == "compare"


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'convir' has no attribute 'trainign'"):
        _ = convir.trainign
    assert not hasattr(convir, "trainign")
