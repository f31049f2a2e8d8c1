"""An interrupt ends the command quietly, however early it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import convir_command

ROOT = Path(convir_command.__file__).parent

#: A ``sys.meta_path`` finder that interrupts the import of a module.
INTERRUPTED = """\
import sys, {entry}


class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt


sys.meta_path.insert(0, Interrupt())
sys.argv = ["convir", "trace", "mlp"]
sys.exit({entry}.main())
"""


def run(code: str) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, env=environment)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["convir", "numpy", "convir.cli", "convir.cli.parser", "convir.zoo"])
def test_while_modules_are_imported(module):
    assert run(INTERRUPTED.format(entry="convir_command", module=module)) == (130, "", "convir: interrupted\n")


def test_the_command_is_that_one_and_runs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["convir"].split(":")
    assert getattr(import_module(module), name) is convir_command.main
    status, out, err = run("import sys, convir_command; sys.argv = ['convir', '--version']; convir_command.main()")
    assert (status, err) == (0, "")
    assert out.startswith("convir ")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.4, 0.8])
def test_at_any_moment(seconds):
    code = (
        "import sys, convir_command; sys.argv = ['', 'compare', 'lenet5']; print('began', flush=True); "
        "sys.exit(convir_command.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "began\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "convir: interrupted"
    assert "Traceback" not in said
