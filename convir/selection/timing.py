"""Timing every strategy that takes a layer, once for each shape; the times are kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from convir.common.progress import WorkProgress
from convir.common.version import __version__
from convir.passes.lower_conv import ConvLayer, Strategy
from convir.runtime import KernelSet
from convir.runtime.arena import Arena
from convir.runtime.machine import this_machine
from convir.selection import store
from convir.selection.limits import error_of, refusal
from convir.selection.trial import Bench, Trial, random_parameters

#: Runs of a strategy that count, at most and at least; seconds after which no more than those are made; and how many
#: times slower than the fastest its first run may be, lest it is the only one.
MOST_RUNS, LEAST_RUNS, SECONDS, HOPELESS = 15, 5, 0.3, 3.0

#: Changed when what is measured changes.
_FORMAT = 1


@dataclass(frozen=True)
class Time:
    """What was measured of a layer under a strategy.

    Attributes:
        seconds: median of its runs.
        seconds_lower: lower quartile.
        seconds_upper: upper quartile.
        runs: how many there were.
        scratch_bytes: most bytes that it needs at once besides operands and results.
        error: relative error on random data against float64; None where there are elements that are no numbers.
    """

    seconds: float
    seconds_lower: float
    seconds_upper: float
    runs: int
    scratch_bytes: int
    error: float | None


#: Strategy -> what was measured of it, for those that are tried.
Times = Mapping[str, Time]


def times_of(
    layers: Sequence[ConvLayer], known: Sequence[Strategy], kernels: KernelSet, threads: int
) -> dict[ConvLayer, Times]:
    """The times of all layers: from disk, or measured now, with a bar on a terminal.

    They are kept by shape, element type, backend, threads, machine and versions.

    Args:
        layers: different ones.
        known: the strategies to try; those that refuse a layer are not.
        kernels: the backend.
        threads: how many threads a matrix product may use.
    """
    questions = {layer: _question(layer, known, kernels, threads) for layer in layers}
    kept = {layer: _kept(question, layer, known) for layer, question in questions.items()}
    found = {layer: times for layer, times in kept.items() if times is not None}
    missing = [layer for layer in layers if layer not in found]
    with WorkProgress("measuring", len(missing)) as progress:
        for layer in missing:
            progress.show()
            found[layer] = measure(layer, known, kernels, threads)
            store.save(questions[layer], {name: asdict(time) for name, time in found[layer].items()})
            progress.advance()
    return found


def measure(layer: ConvLayer, known: Sequence[Strategy], kernels: KernelSet, threads: int) -> Times:
    """Run the strategies by turns, so that a machine that gets slower or faster favours none."""
    given = random_parameters(layer, layer.image.dtype)
    trials = {each: Trial.of(layer, each, kernels, given) for each in known if not refusal(layer, each)}
    # One arena for all: only one runs at a time.
    arena = Arena(max(trial.program.memory.arena_bytes for trial in trials.values()))
    benches = {each: Bench(trial, arena) for each, trial in trials.items()}
    seconds = _by_turns(benches, threads)
    return {each.name: _time(seconds[each], trial) for each, trial in trials.items()}


def _by_turns(benches: Mapping[Strategy, Bench], threads: int) -> dict[Strategy, list[float]]:
    """Seconds of the runs that count; one for those without hope."""
    first = {each: _warmed_up(bench, threads) for each, bench in benches.items()}
    hopeful = [each for each, spent in first.items() if spent <= HOPELESS * min(first.values())]
    rounds = int(SECONDS * len(hopeful) / sum(first[each] for each in hopeful))
    counted: dict[Strategy, list[float]] = {each: [] for each in hopeful}
    for _ in range(max(LEAST_RUNS, min(MOST_RUNS, rounds))):
        for each in hopeful:
            counted[each].append(benches[each].run(threads))
    return {each: counted.get(each, [spent]) for each, spent in first.items()}


def _warmed_up(bench: Bench, threads: int) -> float:
    bench.run(threads)
    return bench.run(threads)


def _time(seconds: Sequence[float], trial: Trial) -> Time:
    lower, median, upper = map(float, np.percentile(seconds, (25, 50, 75)))
    error = error_of(trial.layer, trial.strategy, trial.program.kernels)
    return Time(median, lower, upper, len(seconds), trial.scratch_bytes, error)


def _question(layer: ConvLayer, known: Sequence[Strategy], kernels: KernelSet, threads: int) -> dict[str, Any]:
    """All that times depend on."""
    return {
        "what": "times",
        "version": [_FORMAT, __version__],
        "layer": repr(layer),
        "strategies": [each.name for each in known],
        "backend": kernels.name,
        "threads": threads,
        "machine": this_machine().to_json(),
    }


def _kept(question: dict[str, Any], layer: ConvLayer, known: Sequence[Strategy]) -> Times | None:
    """What was measured before; None where nothing was, or what is there cannot be."""
    kept = store.load(question)
    expected = {each.name for each in known if not refusal(layer, each)}
    if not isinstance(kept, dict) or set(kept) != expected:
        return None
    try:
        times = {name: Time(**fields) for name, fields in kept.items()}
        return times if all(isfinite(time.seconds) and time.seconds > 0 for time in times.values()) else None
    except TypeError:
        return None
