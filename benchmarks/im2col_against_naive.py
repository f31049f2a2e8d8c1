"""One convolution, the naive loop nest against im2col, interleaved in one run; and what im2col pays for it in memory.

The convolution has 3 channels in, 32 out, a 5 x 5 kernel and a 32 x 32 image. Both lowerings get the same image and the
same weights. In each round the loop nest runs once and im2col many times (it is that much faster); the ratio is taken
round by round. Both run on one thread unless told otherwise: the loop nest has no use for more.

    python benchmarks/im2col_against_naive.py [--batch 1] [--padding 0] [--rounds 7] [--repeats 50] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from harness.threads import set_threads
from harness.timing import ratios, seconds_of, spread

CHANNELS, FILTERS, KERNEL, SIZE = 3, 32, 5, 32


def measured(batch: int, padding: int, rounds: int, repeats: int, threads: int) -> dict[str, Any]:
    """The whole benchmark as plain types."""
    import numpy as np

    import convir
    from convir import nn

    convir.manual_seed(0)
    model = nn.Conv2d(CHANNELS, FILTERS, KERNEL, padding=padding)
    x = np.random.default_rng(0).standard_normal((batch, CHANNELS, SIZE, SIZE)).astype("float32")
    naive, im2col = (convir.compile(model, x.shape, conv=conv, wrt=()) for conv in ("naive", "im2col"))
    expected, found = naive(x), im2col(x)
    for _ in range(repeats):
        im2col(x)
    seconds: dict[str, list[float]] = {"naive": [], "im2col": []}
    for _ in range(rounds):
        seconds["naive"] += seconds_of(lambda: naive(x), 1)
        seconds["im2col"].append(statistics.median(seconds_of(lambda: im2col(x), repeats)))
    out = SIZE + 2 * padding - KERNEL + 1
    return {
        "schema": "convir.benchmark.im2col_against_naive/1",
        "convolution": f"{CHANNELS}->{FILTERS}, {KERNEL}x{KERNEL}, {SIZE}x{SIZE}, batch {batch}, padding {padding}",
        "rounds": rounds,
        "repeats": repeats,
        "threads": threads,
        "numpy": np.__version__,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "naive_over_im2col": spread(ratios(seconds["naive"], seconds["im2col"])),
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
        "scratch_bytes": {
            "planned": im2col.memory.scratch_bytes("im2col"),
            "C*KH*KW*N*OH*OW*4": CHANNELS * KERNEL * KERNEL * batch * out * out * 4,
            "naive": naive.memory.total_by_kind()["scratch"],
        },
    }


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    from convir.common.table import Column, TextTable, format_bytes, format_seconds

    names = ("min", "25 %", "median", "75 %", "max")
    rows = [[name, *(format_seconds(values[key]) for key in names)] for name, values in result["seconds"].items()]
    rows.append(["naive / im2col", *(f"{result['naive_over_im2col'][key]:,.0f}" for key in names)])
    planned, formula, naive = result["scratch_bytes"].values()
    return TextTable(
        [Column("lowering"), *(Column(name, "right") for name in names)],
        rows,
        title=f"Convolution {result['convolution']}, {result['threads']} threads, {result['rounds']} rounds",
        notes=[
            f"im2col's time in a round is the median of {result['repeats']} calls. numpy {result['numpy']}.",
            f"The results differ by {result['difference']:.1e} of the largest element.",
            f"The patch matrix takes {planned:,} bytes ({format_bytes(planned)}) of scratch in the plan; "
            f"C*KH*KW*N*OH*OW*4 = {formula:,}. The loop nest takes {naive:,}.",
        ],
    ).text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    # BLAS reads these once, when NumPy is imported; that is why the imports stand inside functions.
    set_threads(options.threads)
    result = measured(options.batch, options.padding, options.rounds, options.repeats, options.threads)
    print(json.dumps(result, indent=2) if options.json else report(result))
    planned, formula, _ = result["scratch_bytes"].values()
    if planned != formula:
        sys.exit(f"the plan's scratch is {planned} bytes, not {formula}")


if __name__ == "__main__":
    main()
