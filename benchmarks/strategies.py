"""Ways of computing one convolution side by side, on layers of well-known networks: time and memory beside im2col's.

Every strategy that takes the layer runs forward, then backward (both gradients), by turns; a ratio is taken round by
round. Each gets the same image and the same weights, and the batch is not divided. "Arena" is all memory but the
parameters of a training step, "scratch" the largest array that the layer's computation needs besides its operands and
results. One thread unless told otherwise.

    python benchmarks/strategies.py [--layers vgg,mobilenet] [--strategies a,b] [--batch 8] [--rounds 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from harness.threads import set_threads
from harness.timing import in_turn, ratios, seconds_of, spread

#: What the others are measured against.
BASELINE = "im2col"

#: Name -> channels, image size, filters, kernel, and what else ``nn.Conv2d`` takes.
LAYERS: dict[str, tuple[int, int, int, int, dict[str, Any]]] = {
    "lenet conv1": (1, 28, 6, 5, {"padding": 2}),
    "lenet conv2": (6, 14, 16, 5, {}),
    "vgg 64, 56x56": (64, 56, 64, 3, {"padding": 1}),
    "vgg 512, 14x14": (512, 14, 512, 3, {"padding": 1}),
    "resnet 1x1, 256 to 64": (256, 56, 64, 1, {}),
    "resnet 1x1, stride 2": (256, 56, 512, 1, {"stride": 2}),
    "resnet 3x3, stride 2": (128, 56, 128, 3, {"padding": 1, "stride": 2}),
    "resnext, 32 groups": (256, 14, 256, 3, {"padding": 1, "groups": 32}),
    "mobilenet 128, 56x56": (128, 56, 128, 3, {"padding": 1, "groups": 128}),
    "mobilenet 128, stride 2": (128, 56, 128, 3, {"padding": 1, "groups": 128, "stride": 2}),
    "mobilenet 512, 14x14": (512, 14, 512, 3, {"padding": 1, "groups": 512}),
    "alexnet conv1": (3, 224, 64, 11, {"padding": 2, "stride": 4}),
}


def measured(layer: str, names: Sequence[str], batch: int, rounds: int, threads: int) -> dict[str, Any]:
    """Strategy -> spreads of seconds and ratios of both halves, and bytes; those that refuse the layer are left out."""
    import numpy as np

    import convir
    from convir import nn
    from convir.passes.lower_conv import taking

    channels, size, filters, kernel, options = LAYERS[layer]
    convir.manual_seed(0)
    graph = convir.trace(nn.Conv2d(channels, filters, kernel, **options), (batch, channels, size, size))
    wanted = [name for name in taking(graph) if name in (BASELINE, *names)]
    compiled = {name: convir.compile(graph, conv=name, tile=batch, threads=threads) for name in wanted}
    rng = np.random.default_rng(0)
    x = rng.standard_normal(graph.inputs[0].type.shape, "float32")
    dy = rng.standard_normal(graph.outputs[0].type.shape, "float32")
    expected = compiled[BASELINE](x)
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in wanted}
    for turn, which in in_turn(rounds + 1, len(wanted)):
        name = wanted[which]
        times = seconds_of(partial(compiled[name].run_forward, x), 1)
        times += seconds_of(partial(compiled[name].run_backward, dy), 1)
        for half, spent in zip(seconds[name], times, strict=True):
            half += [spent] if turn else []
    return {name: _figures(compiled[name], seconds[name], seconds[BASELINE], x, expected) for name in wanted}


def _figures(compiled: Any, seconds: Any, baseline: Any, x: Any, expected: Any) -> dict[str, Any]:
    import numpy as np

    scratch = [buffer.nbytes for buffer in compiled.memory.buffers if buffer.kind == "scratch"]
    halves = {
        half: {"seconds": spread(own), "ratio": spread(ratios(own, base))}
        for half, own, base in zip(("forward", "backward"), seconds, baseline, strict=True)
    }
    return {
        **halves,
        "scratch_bytes": max(scratch, default=0),
        "arena_bytes": compiled.memory.arena_bytes,
        "difference": float(np.abs(compiled(x) - expected).max() / np.abs(expected).max()),
    }


def report(layer: str, batch: int, figures: dict[str, Any]) -> str:
    """The figures of one layer as a table."""
    from convir.common.table import Column, TextTable, format_bytes, format_seconds

    def cells(half: dict[str, Any]) -> list[str]:
        low, median, high = (half["ratio"][key] for key in ("25 %", "median", "75 %"))
        return [format_seconds(half["seconds"]["median"]), f"{median:.2f} ({low:.2f} to {high:.2f})"]

    rows = [
        [name, *cells(each["forward"]), *cells(each["backward"]), format_bytes(each["scratch_bytes"]),
         format_bytes(each["arena_bytes"]), f"{each['difference']:.0e}"]
        for name, each in figures.items()
    ]  # fmt: skip
    heads = ("forward", "ratio", "backward", "ratio", "scratch", "arena", "error")
    columns = [Column("strategy"), *(Column(head, "right") for head in heads)]
    return TextTable(columns, rows, title=f"{layer}, batch {batch}").text(width=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default="", help=f"beginnings of names, of {', '.join(LAYERS)}; default: all")
    known = "toeplitz,shift_gemm,im2col_tiled,pointwise,depthwise"
    parser.add_argument("--strategies", default=known, help=f"beside {BASELINE}; default: {known}")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    set_threads(options.threads)
    wanted = tuple(each.strip() for each in options.layers.split(","))
    names = [each.strip() for each in options.strategies.split(",")]
    found = {}
    for layer in (name for name in LAYERS if name.startswith(wanted)):
        found[layer] = measured(layer, names, options.batch, options.rounds, options.threads)
        if not options.json:
            print(report(layer, options.batch, found[layer]), end="\n\n", flush=True)
    if options.json:
        print(json.dumps({"schema": "convir.benchmark.strategies/1", "batch": options.batch, "layers": found}))


if __name__ == "__main__":
    main()
