"""Every example runs, as a user would run it, and says what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

#: Small settings, and what must stand in the output.
RUNS = {
    "lenet5_on_digits.py": (["--epochs", "1"], ["61,706", "Training on 1438 digits", "of 359 right"]),
    "stages.py": (["out"], ["fuse_relu", "lower_conv", "open out/index.html"]),
    "compare_lowerings.py": (
        ["--size", "12", "--plot", "plot.svg"],
        ["19,200 bytes; planned: 19,200", "Plot: "],
    ),
    "custom_pass.py": ([], ["# multiply_by_reciprocal (", "mul(", "conv.weight, conv.bias, x"]),
    "backends.py": (["--threads", "2", "--calls", "2"], ["numpy: 2 tiles of 32 samples on 2 threads", "us a call"]),
    "what_strategies_state.py": (
        ["--layer", "8,8,3,12", "--batch", "2", "--seen"],
        ["winograd_4x4", "below the bound"],
    ),
    "tour.py": (["--budget", "0.1", "--epochs", "1"], ["conv1.weight", "im2col is ", "The tour took"]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Output of an example, and the folder it ran in; each runs once."""

    @cache
    def once(name: str) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp(Path(name).stem)
        command = [sys.executable, "-W", "error", str(EXAMPLES / name), *RUNS[name][0]]
        done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout, folder

    return once


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS)


#: Those that take more than a few seconds.
LONG = ("tour.py", "compare_lowerings.py", "backends.py")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in RUNS])
def test_it_runs(name, run):
    if name == "compare_lowerings.py":
        pytest.importorskip("matplotlib")
    output, _ = run(name)
    for text in RUNS[name][1]:
        assert text in output
    assert max(map(len, output.splitlines())) <= 170, "lines that a terminal would break"


def test_the_stages_are_on_disk(run):
    _, folder = run("stages.py")
    names = [path.name for path in (folder / "out").iterdir()]
    assert "index.html" in names
    assert "03_fuse_relu.txt" in names


def test_the_custom_pass_changes_the_graph_and_not_the_result(run):
    before, after = run("custom_pass.py")[0].split("# multiply_by_reciprocal (")
    assert " div(" in before
    assert " mul(" not in before
    assert " div(" not in after
    error = float(after.split("without the pass: ")[1].split()[0])
    assert error < 1e-6


@pytest.mark.slow
def test_both_backends_agree_and_the_loops_are_shown(run):
    pytest.importorskip("numba")
    output = run("backends.py")[0]
    assert "numba: 2 tiles of 32 samples on 2 threads; arenas of " in output
    assert "one tile of 32 of 64 samples" in output
    assert re.search(r"^[\w.]+ as loops:$", output, re.MULTILINE)
    assert re.search(r"^ +# loops \w.*; vector \w+ by \d+; block ", output, re.MULTILINE)
    assert re.search(r"^def \w+\(addresses\):$", output, re.MULTILINE)
    error = float(output.splitlines()[-1].split()[-1])
    assert 0 < error < 1e-5


def test_without_numba_the_backends_example_says_so(tmp_path):
    """Numba hidden from the search for it, as where it is not installed."""
    code = (
        "import importlib.util, runpy, sys; find = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *rest: None if name == 'numba' else find(name, *rest); "
        "sys.argv[1:] = ['--calls', '1', '--batch', '2']; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    code = code.replace("sys.argv.pop(1)", repr(str(EXAMPLES / "backends.py")))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Numba is not installed" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[-1:]] == ["numpy"]


def test_the_documentation_has_the_table_that_the_example_prints():
    command = [sys.executable, str(EXAMPLES / "what_strategies_state.py")]
    printed = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    assert printed.strip() in (EXAMPLES.parent / "docs" / "strategies.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_both_lowerings_agree_in_the_tour(run):
    section = run("tour.py")[0].split("relative difference from the loop nest\n")[1].split("\n\n")[0]
    errors = [float(line.split()[-1]) for line in section.splitlines()]
    assert len(errors) == 12
    assert max(errors) < 1e-5
