"""Timing every strategy that takes a layer, once for each shape; the times are kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np

from convir.common.progress import WorkProgress
from convir.ir import TensorType
from convir.passes.lower_conv import ConvLayer, Strategy
from convir.runtime.arena import Arena
from convir.runtime.kernels import Array
from convir.selection import store
from convir.selection.forecast import forecast
from convir.selection.place import Place
from convir.selection.rounding import Rounding
from convir.selection.trial import Bench, Trial, random_parameters

#: Runs of a strategy that count, at most and at least, and seconds after which no more than those are made.
MOST_RUNS, LEAST_RUNS, SECONDS = 15, 3, 0.3

#: How many times slower than the fastest so far the best of its first runs may be, lest it is not run any further; a
#: first run alone says so where it is as many times slower again: it may have been disturbed.
HOPELESS = 3.0

#: Upper over lower quartile from which on a time is not kept for another process.
DISTURBED = 1.5

#: Changed when what is measured changes.
_FORMAT = 4


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


def times_of(layers: Sequence[ConvLayer], known: Sequence[Strategy], place: Place) -> dict[ConvLayer, Times]:
    """The times of all layers: from disk, or measured now, with a bar on a terminal.

    They are kept by shape, element type, backend, threads, machine and versions, unless something disturbed them.

    Args:
        layers: different ones.
        known: the strategies to try; those that refuse a layer, or do not fit the machine, are not.
        place: what runs them.
    """
    questions = {layer: _question(layer, known, place) for layer in layers}
    kept = {layer: _kept(asked, layer, known, place) for layer, asked in questions.items()}
    found = {layer: times for layer, times in kept.items() if times is not None}
    missing = [layer for layer in layers if layer not in found]
    with WorkProgress("measuring", sum(len(_tried(layer, known, place)) for layer in missing)) as progress:
        for layer in missing:
            with store.measuring_alone():
                # Another process may have measured it while this one waited.
                again = _kept(questions[layer], layer, known, place)
                found[layer] = again or _measured(questions[layer], layer, known, place, progress)
    return found


def _measured(
    asked: dict[str, object], layer: ConvLayer, known: Sequence[Strategy], place: Place, progress: WorkProgress
) -> Times:
    """Times of now, which are kept unless something disturbed them."""
    times = measure(layer, known, place, progress.advance)
    if not any(_is_disturbed(time) for time in times.values()):
        store.save(asked, {name: asdict(time) for name, time in times.items()})
    return times


def measure(
    layer: ConvLayer, known: Sequence[Strategy], place: Place, done: Callable[[], object] = lambda: None
) -> Times:
    """Run the strategies by turns, so that a machine that gets slower or faster favours none.

    Args:
        layer: what to compute.
        known: the strategies to try.
        place: what runs them.
        done: called when a strategy has had its first runs.
    """
    tried = _tried(layer, known, place)
    given = random_parameters(layer, layer.image.dtype)
    trials = {each: Trial.of(layer, each, place.kernels, given) for each in tried}
    # One arena for all, and one set of operands: only one runs at a time.
    arena = Arena(max((trial.program.memory.arena_bytes for trial in trials.values()), default=0))
    operands: dict[tuple[TensorType, int], Array] = {}
    benches = {each: Bench(trial, arena, operands) for each, trial in trials.items()}
    rounding = Rounding(layer)
    errors = {each: rounding.error(each, place.kernels) for each in tried}
    seconds = _by_turns(benches, place.threads, done)
    return {each.name: _time(seconds[each], trials[each], errors[each]) for each in tried}


def _tried(layer: ConvLayer, known: Sequence[Strategy], place: Place) -> list[Strategy]:
    """The strategies that are run, those that are expected to be the fastest first: others then give up early."""
    expected = {each: forecast(layer, each, place) for each in known}
    tried = [each for each in known if not expected[each].excluded]
    return sorted(tried, key=lambda each: expected[each].predicted_seconds or 0.0)


def _by_turns(
    benches: Mapping[Strategy, Bench], threads: int, done: Callable[[], object]
) -> dict[Strategy, list[float]]:
    """Seconds of the runs that count."""
    first: dict[Strategy, list[float]] = {}
    for each, bench in benches.items():
        first[each] = list(_first_runs(bench, threads, min(map(min, first.values()), default=float("inf"))))
        done()
    best = min(map(min, first.values()), default=0.0)
    hopeful = [each for each, spent in first.items() if min(spent) <= HOPELESS * best]
    rounds = int(SECONDS * len(hopeful) / sum(min(first[each]) for each in hopeful)) if hopeful else 0
    counted: dict[Strategy, list[float]] = {each: [] for each in hopeful}
    for _ in range(max(LEAST_RUNS, min(MOST_RUNS, rounds))):
        for each in hopeful:
            counted[each].append(benches[each].run(threads))
    return {each: counted.get(each, spent) for each, spent in first.items()}


def _first_runs(bench: Bench, threads: int, best: float) -> Iterator[float]:
    """Seconds of a warm-up and two runs more; of the warm-up alone where there is no hope."""
    spent = bench.run(threads)
    yield spent
    if spent <= HOPELESS * HOPELESS * best:
        yield bench.run(threads)
        yield bench.run(threads)


def _time(seconds: Sequence[float], trial: Trial, error: float | None) -> Time:
    lower, median, upper = map(float, np.percentile(seconds, (25, 50, 75)))
    return Time(median, lower, upper, len(seconds), trial.program.memory.scratch_peak, error)


def _is_disturbed(time: Time) -> bool:
    """Whether the runs were as different as the same work is not."""
    return time.runs > LEAST_RUNS and time.seconds_upper > DISTURBED * time.seconds_lower


def _question(layer: ConvLayer, known: Sequence[Strategy], place: Place) -> dict[str, object]:
    """All that times depend on."""
    names = [each.name for each in known]
    return place.question("times", _FORMAT, layer=repr(layer), strategies=names)


def _kept(asked: dict[str, object], layer: ConvLayer, known: Sequence[Strategy], place: Place) -> Times | None:
    """What was measured before; None where nothing was, or what is there cannot be."""
    kept = store.load(asked)
    if not isinstance(kept, dict) or set(kept) != {each.name for each in _tried(layer, known, place)}:
        return None
    try:
        times = {name: Time(**fields) for name, fields in kept.items()}
        return times if all(isfinite(time.seconds) and time.seconds > 0 for time in times.values()) else None
    except TypeError:
        return None
