"""The machine's matmul ceiling: NumPy's float32 product, best of sizes and repeats, in a process of its own.

``python -m harness.ceiling THREADS`` prints ``{"512": FLOP/s, ...}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from harness.threads import pin, thread_environment
from harness.timing import seconds_of

SIZES, REPEATS = (512, 1024, 2048), 8


def measured(threads: int) -> dict[str, float]:
    """Size -> FLOP/s, 2 n^3 for a product, with ``threads`` threads."""
    home = str(Path(__file__).parent.parent)
    environment = {**os.environ, **thread_environment(threads), "PYTHONPATH": home}
    command = [sys.executable, "-m", "harness.ceiling", str(threads)]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, encoding="utf-8").stdout
    found: dict[str, float] = json.loads(printed)
    return found


def best(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """The larger of two measurements, size by size."""
    return {size: max(first[size], second[size]) for size in first}


def main() -> None:
    threads = int(sys.argv[1])
    pin(threads)
    import numpy as np

    found = {}
    for size in SIZES:
        a = np.random.default_rng(0).standard_normal((size, size), np.float32)
        out = np.empty_like(a)
        seconds = seconds_of(lambda a=a, out=out: np.matmul(a, a, out=out), REPEATS + 1)[1:]  # type: ignore[misc]
        found[str(size)] = 2 * size**3 / min(seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
