"""Two that measure the same thing at once: one measures, and the other waits and reads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from support.machines import ROUND

from convir.ir import TensorType
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import STRATEGIES, ConvLayer
from convir.runtime import NUMPY
from convir.selection import known_figures, store, timing
from convir.selection.place import Place
from convir.selection.timing import Time

LAYER = ConvLayer(Conv2d(), TensorType((1, 2, 6, 6), "float32"), TensorType((2, 2, 3, 3), "float32"))


class Measuring:
    """Counts how many measure, and how many at once."""

    def __init__(self, result):
        self.result, self.count, self.inside, self.most = result, 0, 0, 0

    def __call__(self, *args):
        self.count, self.inside = self.count + 1, self.inside + 1
        self.most = max(self.most, self.inside)
        threading.Event().wait(0.2)
        self.inside -= 1
        return self.result(*args)


def at_once(call, *arguments):
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def test_figures_are_measured_by_one_and_read_by_the_other(monkeypatch):
    measuring = Measuring(lambda *_: ROUND)
    monkeypatch.setattr(known_figures, "measure_figures", measuring)
    ask = known_figures.figures_for.__wrapped__  # as another process does, which remembers nothing
    assert at_once(lambda _: ask(NUMPY, 1, "float32"), 1, 2, 3) == [ROUND] * 3
    assert measuring.count == 1


def test_different_things_are_not_measured_at_once(monkeypatch):
    measuring = Measuring(lambda *_: ROUND)
    monkeypatch.setattr(known_figures, "measure_figures", measuring)
    ask = known_figures.figures_for.__wrapped__
    assert at_once(lambda dtype: ask(NUMPY, 1, dtype), "float32", "float64") == [ROUND] * 2
    assert (measuring.count, measuring.most) == (2, 1)


def test_times_are_measured_by_one_and_read_by_the_other(round_machine, monkeypatch):
    def times(layer, known, place, done):
        tried = timing._tried(layer, known, place)
        return {each.name: Time(1e-3, 1e-3, 1e-3, 5, 1, 1e-7) for each in tried}

    measuring = Measuring(times)
    monkeypatch.setattr(timing, "measure", measuring)
    first, second = at_once(lambda _: timing.times_of([LAYER], STRATEGIES, Place(NUMPY)), 1, 2)
    assert first == second
    assert measuring.count == 1


def test_who_waits_too_long_measures_beside(monkeypatch):
    measuring = Measuring(lambda *_: ROUND)
    monkeypatch.setattr(known_figures, "measure_figures", measuring)
    monkeypatch.setattr(store, "WAIT", 0.0)
    ask = known_figures.figures_for.__wrapped__
    at_once(lambda _: ask(NUMPY, 1, "float32"), 1, 2)
    assert measuring.most == 2
