"""Where one strategy overtakes another, noise in mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from convir.comparison.noise import Timed, is_faster
from convir.comparison.words import listed


@dataclass(frozen=True)
class Crossover:
    """Between two values of what varies, the order of two strategies is reversed beyond noise.

    Attributes:
        winner: name of the strategy that is the faster one from here on.
        loser: name of the one that was.
        before: the last value at which ``loser`` is faster.
        after: the first value from there at which ``winner`` is.
        equal: values between them, at which they are about equal.
    """

    winner: str
    loser: str
    before: int
    after: int
    equal: tuple[int, ...] = ()

    def sentence(self, over: str) -> str:
        """``winograd_4x4 overtakes im2col between kernel 3 and 5.``"""
        return sentence([self], over)


def sentence(same: Sequence[Crossover], over: str) -> str:
    """Crossovers of one winner between the same values, in one sentence."""
    first = same[0]
    equal = f" (about equal at {', '.join(map(str, first.equal))})" if first.equal else ""
    losers = listed([each.loser for each in same])
    return f"{first.winner} overtakes {losers} between {over} {first.before} and {first.after}{equal}."


def crossovers(times: Mapping[str, Mapping[int, Timed]]) -> list[Crossover]:
    """Every crossover of two strategies, in the order of values.

    Args:
        times: strategy -> value -> its time there. Two strategies are compared at the values that both have.
    """
    found = [each for pair in combinations(times, 2) for each in _of_pair(*pair, times)]
    return sorted(found, key=lambda each: (each.before, each.after))


def _of_pair(first: str, second: str, times: Mapping[str, Mapping[int, Timed]]) -> Sequence[Crossover]:
    found: list[Crossover] = []
    leader, last = "", 0
    equal: list[int] = []
    for value in sorted(set(times[first]) & set(times[second])):
        now = _leader(first, second, times[first][value], times[second][value])
        if not now:
            equal.append(value)
            continue
        if leader and now != leader:
            found.append(Crossover(now, leader, last, value, tuple(equal)))
        leader, last = now, value
        equal.clear()
    return found


def _leader(first: str, second: str, one: Timed, other: Timed) -> str:
    """Name of the faster one; empty where they are about equal."""
    if is_faster(one, other):
        return first
    return second if is_faster(other, one) else ""
