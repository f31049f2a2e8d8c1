"""Timing calls side by side, and the statistics of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

#: A process is idle when it uses less than this share of a CPU over an interval (seconds); give up after the limit.
_IDLE_SHARE, _INTERVAL, _LIMIT = 0.05, 0.01, 2.0


def seconds_of(run: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each of ``repeats`` calls."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return seconds


def wait_until_idle() -> float:
    """Wait until the threads of this process have stopped spinning; the seconds that it took, 2 at most.

    Libraries keep their threads busy for up to 0.1 s after a call. Whoever runs next shares the cores with them.
    """
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < _LIMIT:
        used = time.process_time()
        time.sleep(_INTERVAL)
        if time.process_time() - used < _IDLE_SHARE * _INTERVAL:
            break
    return now - begin


def in_turn(rounds: int, count: int) -> list[tuple[int, int]]:
    """(round, which) in the order to run: every other round is turned round, so that none always goes first."""
    return [(i, which) for i in range(rounds) for which in range(count)[:: 1 if i % 2 else -1]]


def interleaved(steps: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each step in each round: one list a step. Each runs twice, and the second time counts.

    The first finds the caches as the other left them, and threads that sleep; see ``engines.py``.
    """
    seconds: list[list[float]] = [[] for _ in steps]
    for _, which in in_turn(rounds, len(steps)):
        wait_until_idle()
        steps[which]()
        seconds[which] += seconds_of(steps[which], 1)
    return seconds


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """25 %, median, 75 %, interpolated linearly (NumPy's default); raises ValueError without values."""
    if not values:
        raise ValueError("quartiles of no values")
    if len(values) == 1:
        return (values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (low, median, high)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, quartiles and most."""
    low, median, high = quartiles(values)
    return {"min": min(values), "25 %": low, "median": median, "75 %": high, "max": max(values)}


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """``values / baseline``, round by round: what slows a whole round down cancels."""
    return [value / base for value, base in zip(values, baseline, strict=True)]
