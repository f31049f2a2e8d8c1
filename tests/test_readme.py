"""The commands that the README shows run as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^convir [^#\n]*", BLOCKS, re.MULTILINE)
LONG = ("compare", "profile", "train")
#: What of the two commands a clean machine has to do as well.
ESSENTIAL = [
    ("pip install '.[render,plot]'", "python examples/tour.py"),
    ("pip install -e '.[dev]'", "python -m pytest"),
]


def test_the_readme_shows_every_command():
    shown = {command.split()[1] for command in COMMANDS}
    assert shown == {"trace", "summary", "render", "compile", "compare", "profile", "train", "cache"}


@pytest.mark.parametrize("parts", ESSENTIAL, ids=["user", "tests"])
def test_the_two_commands_are_those_of_the_checks_on_a_clean_machine(parts):
    checks = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace(" --quiet", "").replace("--editable", "-e")
    steps = [line.strip() for line in checks.splitlines()]
    (command,) = (line for line in BLOCKS.splitlines() if parts[0] in line)
    for part in parts:
        assert part in command
        assert [line for line in steps if line.removeprefix("python -m ").startswith(part.removeprefix("python -m "))]


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[pytest.mark.slow] if c.split()[1] in LONG else [], id=c.strip()) for c in COMMANDS],
)
def test_it_runs(command, tmp_path):
    if command.split()[1] in ("render", "compile"):
        pytest.importorskip("pygraphviz", reason="pictures need Graphviz")
    arguments = shlex.split(command)[1:]
    run = subprocess.run([sys.executable, "-m", "convir", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
