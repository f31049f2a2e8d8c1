"""Files are UTF-8 wherever this runs."""

from __future__ import annotations

import subprocess
import sys

WORK = """
import sys, warnings
import convir
from convir import zoo
from convir.dump import dump
from convir.runtime.arena import machine_bytes

stages = convir.compile(zoo.mlp(), (1, 1, 8, 8)).stages
warnings.simplefilter("error", EncodingWarning)
machine_bytes()
for _ in range(2):
    dump(stages[:1], sys.argv[1])
"""


def test_no_file_is_read_in_the_encoding_of_the_machine(tmp_path):
    command = [sys.executable, "-X", "warn_default_encoding", "-c", WORK, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
