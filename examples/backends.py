"""LeNet-5 by NumPy and by generated loops: how the batch is divided, what was generated, and how long a call takes.

    python examples/backends.py [--batch 64] [--threads N] [--calls 200]

Without Numba (``pip install 'convir[numba]'``) it shows NumPy alone.
"""

import argparse
import statistics
import time
from importlib.util import find_spec

import numpy as np

import convir
from convir import zoo

LINES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the backends on LeNet-5.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, help="default: CONVIR_NUM_THREADS, or all CPUs")
    parser.add_argument("--calls", type=int, default=200, help="timed calls of each; default: 200")
    args = parser.parse_args()

    convir.manual_seed(0)
    model, shape = zoo.lenet5(), (args.batch, 1, 28, 28)
    names = ["numpy", "numba"] if find_spec("numba") else ["numpy"]
    compiled = {
        name: convir.compile(model, shape, backend=name, threads=args.threads, inference=True) for name in names
    }
    for name, each in compiled.items():
        print(f"{name}: {each.division}; arenas of {each.memory.peak_bytes:,} bytes in all")
        print(f"  {' '.join(node.op.name for node in each.graph.nodes if node.op.kind != 'constant')}")
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    if "numba" in compiled:
        show_loops(compiled["numba"], x)
    else:
        print("Numba is not installed, so there is nothing to compare with: pip install 'convir[numba]'")

    expected = compiled["numpy"](x)
    print(f"\n{'':8}{'us a call':>10}  relative difference from NumPy")
    for name, seconds in medians(compiled, x, args.calls).items():
        error = np.abs(compiled[name](x) - expected).max() / np.abs(expected).max()
        print(f"{name:8}{seconds * 1e6:10.0f}  {error:.1e}")


def show_loops(compiled: convir.Compiled, x: np.ndarray) -> None:
    """Where the time goes, and how the source of the slowest step begins."""
    profile = compiled.profile(x)
    print(f"\n{profile}")
    slowest = max(profile.rows, key=lambda row: row.seconds)
    print(f"\n{slowest.name} as loops:\n")
    print("\n".join(compiled.source(slowest.name).splitlines()[:LINES]), "\n    ...")


def medians(compiled: dict[str, convir.Compiled], x: np.ndarray, calls: int) -> dict[str, float]:
    """Seconds of a call, measured in turns, so that a machine that gets slower or faster favours none."""
    seconds: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(calls + 1):
        for name, each in compiled.items():
            begin = time.perf_counter()
            each(x)
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times[1:] or times) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
