"""What is found of layers by themselves, once for each shape; the bar; the backend and its threads."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
from support.machines import ROUND

import convir
from convir import nn
from convir.comparison import alone, contender, contest, fit, models, progress, sweeps
from convir.comparison.contender import Contender, Run
from convir.comparison.contest import Contest, hold
from convir.comparison.problem import LayerProblem, ModelProblem, layers_of
from convir.comparison.progress import Bar, Progress, progress_on
from convir.comparison.settings import checked_settings
from convir.runtime import Executable


class Net(nn.Module):
    """Two layers of one shape, and one of another."""

    def __init__(self):
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.third(self.second(self.first(x)))


SHAPE = (3, 4, 6, 6)


def test_layers_of_one_shape_are_measured_once(monkeypatch):
    measured = Counter()
    whole = alone._measured

    def counted(problem, *others):
        measured[problem.layer] += 1
        return whole(problem, *others)

    monkeypatch.setattr(alone, "_measured", counted)
    comparison = convir.compare(Net(), SHAPE, repeats=1, lowerings=["im2col", "winograd_4x4"], threads=1)
    assert sorted(measured.values()) == [1, 1]
    rows = {(row.layer, row.lowering): row for row in comparison.rows}
    for name in ("im2col", "winograd_4x4"):
        first, second, third = (rows[layer, name] for layer in ("first", "second", "third"))
        assert (first.error, first.allocated_bytes) == (second.error, second.allocated_bytes)
        assert first.allocated_bytes != third.allocated_bytes
    assert rows["first", "winograd_4x4"].error > rows["first", "im2col"].error > 0


def test_what_is_allocated_for_a_layer_alone_is_its_plan():
    graph = convir.trace(Net(), SHAPE)
    settings = checked_settings(True, 1, 5.0, "numpy", 1)
    contest = hold(ModelProblem(graph), ["im2col", "naive"], settings, Progress())
    layers = layers_of(graph)
    found = alone.measured_alone(layers, contest, Progress())
    for (layer, lowering), each in found.items():
        compiled = convir.compile(layers[layer].graph, passes=settings.passes(lowering), threads=1, tile=1000)
        assert each.allocated_bytes == compiled.memory.peak_bytes


def test_errors_are_those_of_the_models_own_weights():
    net = Net()
    before = convir.compare(net, SHAPE, repeats=1, lowerings="im2col", threads=1)
    net.first.weight.data[...] = 0
    after = convir.compare(net, SHAPE, repeats=1, lowerings="im2col", threads=1)
    assert before.rows[0].error > 0
    assert after.rows[0].error == 0


def test_threads_are_what_blas_may_use_while_steps_run(monkeypatch):
    limits = []
    whole = contender.limited

    @contextmanager
    def limited(executable, threads):
        limits.append(threads)
        with whole(executable, threads):
            yield
            limits.append("left")

    monkeypatch.setattr(contender, "limited", limited)
    timed = Executable.timed
    monkeypatch.setattr(Executable, "timed", lambda self, half: limits.append("ran") or timed(self, half))
    layer = convir.conv_layer(64, 64, 3, 16)
    settings = checked_settings(True, 1, 5.0, "numpy", 1)
    contender.contender("im2col", LayerProblem(layer).graph, settings).run()
    assert limits == [1, "ran", "ran", "left"]


@pytest.mark.parametrize(
    ("name", "seconds", "extrapolated", "reference"),
    [
        ("naive", 1.0, None, "naive"),
        ("naive", 1.5, None, "im2col"),
        ("naive", 0.1, 2, "im2col"),
        ("direct", 0.1, None, "im2col"),
    ],
)
def test_the_loop_nest_is_the_reference_where_it_takes_a_quarter_of_the_budget(name, seconds, extrapolated, reference):
    entrant = SimpleNamespace(lowering=name, extrapolated_from=extrapolated, runs=[Run({}, seconds)])
    assert Contest(None, checked_settings(False, 1, 4.0, "numpy", 1), [entrant], ()).reference == reference


@pytest.mark.slow
def test_the_numba_backend_runs_the_steps():
    pytest.importorskip("numba")
    layer = convir.conv_layer(2, 3, 3, 6, batch=2)
    comparison = convir.compare_layer(layer, lowerings=["direct", "naive"], backend="numba", repeats=1, threads=1)
    assert (comparison.backend, comparison.threads) == ("numba", 1)
    assert all(0 < row.error < 1e-6 and row.allocated_bytes == row.peak_bytes for row in comparison.totals)
    assert "numba, 1 thread, the batch in one piece." in str(comparison)
    made = Contender(
        "direct", convir.trace(Net(), SHAPE), checked_settings(False, 1, 1.0, "numba", 1).passes("direct"), "numba"
    )
    assert any(not step.by_numpy for step in made.compiled.executable.halves[0])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_for_terminals(monkeypatch, capsys):
    layer = convir.conv_layer(1, 1, 3, 4)
    convir.compare_layer(layer, lowerings=["im2col"], repeats=1)
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    convir.compare_layer(layer, lowerings=["im2col"], repeats=1, progress=False)
    assert terminal.getvalue() == ""
    convir.compare_layer(layer, lowerings=["im2col"], repeats=1)
    assert "100%" in terminal.getvalue()


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_bar_ends_when_the_work_does(repeats, monkeypatch):
    class Counted(Progress):
        expected = done = 0

        @contextmanager
        def aside(self):
            before = self.done
            yield
            assert self.done == before

        def expect(self, steps):
            self.expected += steps

        def advance(self, text, steps=1):
            self.done += steps

    shown = Counted()
    monkeypatch.setattr(models, "progress_on", lambda wanted: nullcontext(shown))
    monkeypatch.setattr(contest, "HOPELESS", 0.5)
    convir.compare(Net(), SHAPE, repeats=repeats, lowerings=["im2col", "direct"], threads=1)
    assert shown.done == shown.expected == 2 * (repeats + 2) + 2


def test_the_bar_of_a_sweep_ends_when_the_work_does(monkeypatch):
    steps = []

    class Counted(Progress):
        def expect(self, count):
            steps.append(-count)

        def advance(self, text, count=1):
            steps.append(count)

    monkeypatch.setattr(sweeps, "progress_on", lambda wanted: nullcontext(Counted()))
    layer = convir.conv_layer(1, 1, 3, 6)
    names = ["im2col", "pointwise", "naive"]
    monkeypatch.setattr(fit, "SURE_MACS", 1e-9)  # nothing of naive runs
    monkeypatch.setattr(fit, "_seconds_per_mac", lambda part: 1.0)
    convir.sweep(layer, "kernel", [1, 3], lowerings=names, repeats=2, threads=1)
    assert steps[0] == -5 * 4
    assert sum(steps) == 0


def test_the_bar_goes_aside_for_another(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with progress_on(True) as shown:
        shown.expect(4)
        shown.advance("compiling", 2)
        with shown.aside():
            written = len(terminal.getvalue())
            shown.advance("compiled")
            assert len(terminal.getvalue()) == written
        shown.advance("ran")
    assert "100%" in terminal.getvalue()


def test_nothing_is_shown_unless_asked():
    with progress_on(False) as shown:
        assert type(shown) is Progress
    with progress_on(True) as shown:
        assert isinstance(shown, Bar)


def test_the_threads_that_are_said_are_those_that_blas_has_and_the_work_is_for(monkeypatch):
    monkeypatch.setattr("convir.comparison.prediction.figures_for", lambda *_: ROUND)
    monkeypatch.setattr("convir.tiling.machine_cpus", lambda: 8)
    monkeypatch.setattr(contender, "usable_threads", lambda limit: min(limit, 3))
    options = {"lowerings": ["im2col"], "repeats": 1, "threads": 1000}
    large, small = (convir.conv_layer(16, 16, 3, 32, batch=batch) for batch in (8, 1))
    comparison = convir.compare_layer(large, **options)
    assert comparison.threads == comparison.to_json()["threads"] == 3
    assert "numpy, 3 threads for BLAS, the batch in one piece." in str(comparison)
    assert convir.compare_layer(small, **options).threads == 1
    assert convir.compare(LayerProblem(large).graph, **options).threads == 3
    assert convir.sweep(large, "batch", [1, 8], **options).threads == 3
