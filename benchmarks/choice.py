"""Do ``conv="auto"`` and ``"measure"`` choose well? Every strategy on the 3x3 layers of VGG-16 and ResNet-18, by turns.

Each layer, with its ReLU, is compiled for inference under every strategy that takes it, as a model would be (tiles,
threads, NCHW at both ends), and by those who choose: ``auto`` before anything has run, ``measure`` by trial.
All run by turns in one process. "Lost" is what a choice takes over the fastest strategy. A total counts every distinct
layer once.

    python benchmarks/choice.py [--nets vgg16,resnet18] [--batches 1,8] [--backend numpy] [--rounds 7] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from harness.conv_layers import CONV_LAYERS, ConvLayer
from harness.threads import set_threads, usable_cpus
from harness.timing import in_turn, seconds_of, spread

#: Those that nobody would use: the loop nest takes minutes.
LEFT_OUT = ("naive",)


@dataclass(frozen=True)
class Choice:
    """A layer at a batch size.

    Attributes:
        layer: its name.
        batch: images.
        chosen: the strategy that auto took.
        measured: the one that measure took.
        predicted: strategy -> seconds of the layer's tile that were expected; those without a prediction are left out.
        seconds: strategy -> spread of the seconds of its runs.
    """

    layer: str
    batch: int
    chosen: str
    measured: str
    predicted: dict[str, float]
    seconds: dict[str, dict[str, float]]

    @property
    def best(self) -> str:
        """The strategy with the least median."""
        return min(self.seconds, key=lambda name: self.seconds[name]["median"])

    def median(self, name: str) -> float:
        """Median seconds of a strategy."""
        return self.seconds[name]["median"]

    def lost(self, name: str) -> float:
        """What a strategy takes, over the fastest."""
        return self.median(name) / self.median(self.best)


def measured(layer: ConvLayer, batch: int, backend: str, threads: int, rounds: int) -> Choice:
    """Every strategy on one layer, by turns."""
    import numpy as np

    import convir
    from convir import nn
    from convir.passes.lower_conv import taking

    convir.manual_seed(0)
    convolution = nn.Conv2d(layer.channels, layer.filters, 3, stride=layer.stride, padding=1)
    graph = convir.trace(nn.Sequential(convolution, nn.ReLU()), (batch, *layer.image))
    options: dict[str, Any] = {"inference": True, "backend": backend, "threads": threads}
    (row,), (tried,) = (convir.compile(graph, conv=by, **options).lowering.rows for by in ("auto", "measure"))
    assert row.decision is not None
    names = [name for name in taking(graph) if name not in LEFT_OUT]
    compiled = [convir.compile(graph, conv=name, **options) for name in names]
    x = np.random.default_rng(0).standard_normal((batch, *layer.image), "float32")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn, which in in_turn(rounds + 1, len(names)):
        spent = seconds_of(partial(compiled[which].run_forward, x), 2 if turn else 1)
        seconds[names[which]] += spent[1:]
    expected = {each.strategy: each.predicted_seconds for each in row.decision.candidates}
    predicted = {name: value for name, value in expected.items() if value is not None}
    spreads = {name: spread(each) for name, each in seconds.items()}
    return Choice(layer.name, batch, row.strategy, tried.strategy, predicted, spreads)


def report(choices: Sequence[Choice]) -> str:
    """A row a layer, and the total."""
    from convir.common.table import Column, TextTable, format_seconds

    rows = [
        [
            each.layer,
            str(each.batch),
            each.best,
            format_seconds(each.median(each.best)),
            each.chosen,
            f"{each.lost(each.chosen):.2f}",
            each.measured,
            f"{each.lost(each.measured):.2f}",
            f"{each.lost('im2col'):.2f}",
        ]
        for each in choices
    ]
    heads = ("layer", "batch", "fastest", "time", "auto", "lost", "measure", "lost", "im2col")
    right = ("batch", "time", "lost", "im2col")
    columns = [Column(head, "right" if head in right else "left") for head in heads]
    return TextTable(columns, rows, title="Choices against every strategy", notes=[total(choices)]).text(width=110)


def total(choices: Sequence[Choice]) -> str:
    """How much the choices lose in all."""
    best = sum(each.median(each.best) for each in choices)
    auto = sum(each.median(each.chosen) for each in choices) / best
    tried = sum(each.median(each.measured) for each in choices) / best
    plain = sum(each.median("im2col") for each in choices) / best
    worst = max(choices, key=lambda each: each.lost(each.chosen))
    return (
        f"In total auto takes {auto:.3f} times what the fastest strategies take, measure {tried:.3f}, "
        f"im2col {plain:.2f}. "
        f"Auto lost most on {worst.layer}, batch {worst.batch}: {worst.lost(worst.chosen):.2f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="vgg16,resnet18", help="beginnings of names, such as vgg16:64")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, usable_cpus()))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    set_threads(options.threads)
    wanted = tuple(each.strip() for each in options.nets.split(","))
    layers = [layer for layer in CONV_LAYERS if layer.name.startswith(wanted)]
    choices = []
    for batch in map(int, options.batches.split(",")):
        for layer in layers:
            choices.append(measured(layer, batch, options.backend, options.threads, options.rounds))
            if not options.json:
                print(report(choices[-1:]).splitlines()[3], flush=True)
    if options.json:
        print(json.dumps({"schema": "convir.benchmark.choice/1", "choices": [asdict(each) for each in choices]}))
        return
    print(report(choices))


if __name__ == "__main__":
    main()
