"""The commands that the README shows run as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^convir [^#\n]*", BLOCKS, re.MULTILINE)
LONG = ("compare", "train")


def test_the_readme_shows_every_command():
    shown = {command.split()[1] for command in COMMANDS}
    assert shown == {"trace", "summary", "render", "compile", "compare", "profile", "train"}


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
