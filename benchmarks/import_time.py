"""What ``import convir`` costs, beside ``import numpy`` and an interpreter that imports nothing, in fresh processes.

A round runs each program once, in a process of its own that leaves behind nothing but bytecode, as pip makes it for an
installed package: it is cached in a temporary folder, and a run before the first round fills the cache. The last
program goes on to a first result: LeNet-5 traced, differentiated, compiled and run on one image.

    python benchmarks/import_time.py [--rounds 21] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

from harness.timing import interleaved, quartiles

FIRST_RESULT = """
import numpy
import convir
x = numpy.zeros((1, 1, 28, 28), "float32")
convir.compile(convir.zoo.lenet5(), x.shape)(x)
"""
EMPTY = "nothing"
PROGRAMS = {
    EMPTY: "pass",
    "import numpy": "import numpy",
    "import convir": "import convir",
    "first result": FIRST_RESULT,
}


def fresh_process(code: str, environment: Mapping[str, str]) -> None:
    """Run ``code`` in an interpreter of its own; raises CalledProcessError if it fails."""
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def with_bytecode_in(folder: str) -> dict[str, str]:
    """This environment, with bytecode cached in ``folder`` whatever it says about that."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": folder}


def measured(rounds: int) -> dict[str, Any]:
    """The whole benchmark as plain types: seconds are [25 %, median, 75 %]."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        environment = with_bytecode_in(folder)
        runs: list[Callable[[], None]] = [partial(fresh_process, code, environment) for code in PROGRAMS.values()]
        interleaved(runs, 1)
        seconds = dict(zip(PROGRAMS, interleaved(runs, rounds), strict=True))
    return {
        "schema": "convir.benchmark.import_time/1",
        "rounds": rounds,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "seconds": {name: quartiles(values) for name, values in seconds.items()},
        "median_over_nothing": {name: median(values) - median(seconds[EMPTY]) for name, values in seconds.items()},
    }


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    from convir.common.table import Column, TextTable, format_seconds

    over = result["median_over_nothing"]
    rows = [[name, *map(format_seconds, (*values, over[name]))] for name, values in result["seconds"].items()]
    headings = ("25 %", "median", "75 %", f"median less\n{EMPTY}")
    return TextTable(
        [Column("program"), *(Column(heading, "right") for heading in headings)],
        rows,
        title=f"A fresh interpreter from start to exit, {result['rounds']} rounds",
        notes=[f"python {result['python']}, numpy {result['numpy']}. Bytecode is cached."],
    ).text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    result = measured(options.rounds)
    print(json.dumps(result, indent=2) if options.json else report(result))


if __name__ == "__main__":
    main()
