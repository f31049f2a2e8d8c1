"""What does not end within its budget is timed on less, and marked."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

import convir
from convir import nn
from convir.comparison import fit
from convir.comparison.contender import Contender, contender
from convir.comparison.contest import hold
from convir.comparison.entrant import Entrant
from convir.comparison.exact import exact_results
from convir.comparison.problem import LayerProblem, ModelProblem
from convir.comparison.progress import Progress
from convir.comparison.settings import checked_settings, passes
from convir.runtime import executable
from convir.selection.rounding import relative_error

LAYER = convir.conv_layer(2, 3, 3, 6, batch=8)
MACS = 8 * 3 * 36 * 2 * 9
#: Of the taps of a 3x3 kernel on 6x6 with margins of 1, 16 of 18 in each direction fall on the image.
INSIDE = (16 / 18) ** 2


class Net(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(self.conv(x))


@pytest.fixture
def taking(monkeypatch):
    """A function that makes explicit loops seem to take so many seconds for a sample of LAYER, without trying."""

    def set_(seconds: float) -> None:
        monkeypatch.setattr(fit, "SURE_MACS", 1e-9)
        monkeypatch.setattr(fit, "_seconds_per_mac", lambda part: seconds / (MACS / 8 * INSIDE))

    return set_


def settings(budget: float, backward: bool = False):
    return checked_settings(backward, 2, budget, "numpy", 1)


def held(budget: float, problem=None, names=("naive", "im2col")):
    contest = hold(problem or LayerProblem(LAYER), list(names), settings(budget), Progress())
    return {each.lowering: each for each in contest.entrants}


@pytest.mark.parametrize(
    ("seconds", "samples"),
    [(0.5, 8), (0.625, 8), (0.7, 3), (1.0, 2), (2.5, 1), (4.0, 1), (5.1, 0)],
)
def test_as_many_samples_as_end_in_time_twice(taking, seconds, samples):
    taking(seconds)
    found = held(5.0)
    assert found["naive"].samples == samples
    assert found["naive"].extrapolated_from == (None if samples == 8 else samples)
    assert found["im2col"].extrapolated_from is None


def test_times_are_so_many_times_those_of_the_smaller_batch(taking):
    taking(1.0)
    naive = held(5.0)["naive"]
    timed = [run.total for run in naive.timed.runs]
    assert naive.counted == len(timed) == 2
    assert [run.total for run in naive.runs] == pytest.approx([4 * each for each in timed])
    assert [run.layers["result"] for run in naive.runs] == pytest.approx(
        [4 * run.layers["result"] for run in naive.timed.runs]
    )
    assert naive.timed.results[0].shape == (3, 6, 6, 2)


def test_the_error_is_that_of_the_smaller_batch(taking):
    taking(1.0)
    row = convir.compare_layer(LAYER, lowerings=["naive", "im2col"], repeats=2, threads=1).totals[0]
    alone = contender("naive", LayerProblem(LAYER).at(2), settings(5.0))
    alone.run()
    exact = exact_results(LayerProblem(LAYER).at(2), passes("im2col", False), alone.operands)
    assert row.error == relative_error(alone.results, exact) > 0
    assert (
        row.allocated_bytes
        == row.peak_bytes
        == contender("naive", LayerProblem(LAYER).graph, settings(5.0)).compiled.memory.peak_bytes
    )


def test_a_part_of_a_sample_stands_for_the_layer(taking):
    taking(10.0)
    comparison = convir.compare_layer(LAYER, lowerings=["naive", "im2col"], repeats=2, threads=1)
    row = comparison.totals[0]
    assert row.seconds == row.seconds_lower == row.seconds_upper == pytest.approx(80.0)
    assert (row.runs, row.extrapolated_from, row.error) == (0, 0, None)
    assert "~80.0 s" in str(comparison)
    assert "~ naive: estimated from a small part of the convolution, as one sample takes longer" in str(comparison)


def test_the_whole_net_that_contains_it_is_marked(taking, tmp_path):
    pytest.importorskip("matplotlib")
    taking(1.0)
    comparison = convir.compare(Net(), (8, 2, 6, 6), repeats=2, threads=1)
    naive = [row for row in comparison.rows if row.lowering == "naive"]
    assert [(row.layer, row.extrapolated_from) for row in naive] == [("conv", 2), ("pool", 2), (None, 2)]
    assert all(row.extrapolated_from is None for row in comparison.rows if row.lowering == "im2col")
    assert all(row.error is not None for row in naive if row.layer != "pool")
    assert comparison.reference == "float64 im2col"
    data = json.loads(json.dumps(comparison.to_json()))
    assert [row["extrapolated_from"] for row in data["rows"][-2:]] == [2, None]
    text = comparison.table().text(120)
    assert text.count("  ~") >= 3
    assert "~ naive: extrapolated from a batch of 2 samples, as the whole takes longer than the time budget" in text
    assert "<!-- ~" in comparison.plot(tmp_path / "plot.svg").read_text()


def test_layers_that_nobody_timed_have_no_row(taking, tmp_path):
    pytest.importorskip("matplotlib")
    taking(10.0)
    comparison = convir.compare(Net(), (8, 2, 6, 6), repeats=1, threads=1)
    assert [row.layer for row in comparison.rows if row.lowering == "naive"] == ["conv", None]
    assert comparison.totals[0].seconds == pytest.approx(80.0)
    assert comparison.rows[0].allocated_bytes > 0
    assert comparison.plot(tmp_path / "plot.svg").exists()
    assert str(comparison)


def test_a_model_that_mixes_samples_is_estimated(taking):
    taking(1.0)
    graph = convir.trace(lambda x, w: nn.functional.conv2d(x, w, padding=1).max(0), (8, 2, 6, 6), (3, 2, 3, 3))
    found = held(5.0, ModelProblem(graph))
    assert found["naive"].samples == 0
    assert found["im2col"].samples == 8


def test_other_lowerings_are_tried_on_one_sample(monkeypatch):
    """The clock ticks whenever it is read, so a run takes as many seconds as it has steps, whatever the batch."""
    ticks = itertools.count(0.0)
    monkeypatch.setattr(executable, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(fit, "SURE_FLOPS", 1e-9)
    steps = len(contender("im2col", LayerProblem(LAYER).graph, settings(1.0)).compiled.executable.halves[0])
    assert held(steps * 8.0, names=["im2col"])["im2col"].samples == 8
    assert held(steps * 6.0, names=["im2col"])["im2col"].samples == 3
    shrunk = held(steps * 0.5, names=["im2col"])["im2col"]
    assert shrunk.samples == 1
    assert shrunk.runs[0].total == 8 * steps


def test_what_surely_ends_is_not_tried(monkeypatch):
    monkeypatch.setattr(fit, "contender", None)
    monkeypatch.setattr(fit, "Contender", None)
    for name in ("naive", "im2col", "winograd_4x4"):
        entrant = Entrant(contender(name, LayerProblem(LAYER).graph, settings(5.0)), 8)
        fit.fit(entrant, LayerProblem(LAYER), settings(5.0))
        assert entrant.extrapolated_from is None


@pytest.mark.parametrize("backward", [False, True])
def test_finding_out_takes_a_part_of_the_budget(monkeypatch, backward):
    """Counted in multiply-accumulates: of a layer that would take hours."""
    executed = []
    run = Contender.run

    def counted(self, operands=None):
        executed.append(self.compiled.cost.lowered.macs)
        run(self, operands)

    monkeypatch.setattr(Contender, "run", counted)
    layer = convir.conv_layer(32, 64, 3, 200, batch=2)
    options = settings(0.05, backward)
    entrant = Entrant(contender("naive", LayerProblem(layer).graph, options), 2)
    fit.fit(entrant, LayerProblem(layer), options)
    assert entrant.samples == 0
    assert entrant.runs[0].total > 100
    assert 0 < sum(executed) <= 2 * (3 if backward else 1) * 0.05 * fit.SURE_MACS / 4


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((2, 3, 3, 6), {}),
        ((4, 2, (5, 3), (7, 9)), {"stride": 2, "padding": (2, 0)}),
        ((3, 3, 3, 8), {"groups": 3, "dilation": 2}),
        ((1, 1, 1, 5), {"padding": 2}),
    ],
)
def test_taps_that_fall_on_the_image(sizes, options):
    layer = convir.conv_layer(*sizes, **options)
    (ph, pw), (sh, sw), (dh, dw) = layer.op.padding, layer.op.stride, layer.op.dilation
    rows, columns = layer.result.shape[2:]
    taps = layer.weight.shape[2:]
    inside = np.zeros(layer.image.shape[2:], bool)
    inside[...] = True
    padded = np.pad(inside, ((ph, ph), (pw, pw)))
    hits = [
        padded[i * sh + k * dh, j * sw + m * dw]
        for i, j, k, m in itertools.product(range(rows), range(columns), range(taps[0]), range(taps[1]))
    ]
    assert fit._share_inside(layer) == pytest.approx(np.mean(hits))


def test_a_part_is_one_filter_and_as_many_results_as_its_work_allows():
    layer = convir.conv_layer(8, 16, 3, 40, batch=4, stride=2, bias=True)
    part = fit._part(layer, 72 * 20 * 3)
    assert part.result.shape == (1, 1, 3, 20)
    assert part.weight.shape == (1, 8, 3, 3)
    assert fit._part(layer, 72 * 7).result.shape == (1, 1, 1, 7)
    assert fit._part(layer, 1).result.shape == (1, 1, 1, 1)
    assert fit._part(convir.conv_layer(6, 6, 3, 9, groups=6), 81).weight.shape == (1, 1, 3, 3)
