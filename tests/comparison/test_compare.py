"""compare(): values, predictions, taking turns, messages."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import convir
from convir import nn
from convir.comparison import Comparison, contender
from convir.comparison.contender import Contender
from convir.comparison.contest import take_turns
from convir.comparison.progress import Progress
from convir.comparison.report import ComparisonRow
from convir.comparison.settings import passes
from convir.runtime import executable
from convir.selection.rounding import relative_error
from convir.selection.trial import numbers


class Net(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4 * 3 * 4, 5)

    def forward(self, x):
        return self.fc(self.drop(self.relu(self.conv(x)).flatten(1)))


SHAPE = (2, 3, 6, 7)


@pytest.fixture(scope="module")
def net() -> Net:
    convir.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def forward(net) -> Comparison:
    return convir.compare(net, SHAPE, repeats=3)


@pytest.fixture(scope="module")
def backward(net) -> Comparison:
    return convir.compare(net, SHAPE, repeats=3, backward=True)


def row(comparison: Comparison, layer: str | None, lowering: str):
    (found,) = (each for each in comparison.rows if (each.layer, each.lowering) == (layer, lowering))
    return found


def test_rows_are_layers_by_lowering_and_the_whole_net_last(forward):
    assert [(each.layer, each.lowering) for each in forward.rows] == [
        ("conv", "naive"),
        ("conv", "im2col"),
        ("fc", "naive"),
        ("fc", "im2col"),
        (None, "naive"),
        (None, "im2col"),
    ]
    assert forward.lowerings == ("naive", "im2col")
    assert [each.op for each in forward.rows[::2]] == ["conv2d", "matmul", ""]


def test_flops_are_those_executed(forward, backward):
    macs = 2 * 4 * 3 * 4 * 3 * 9
    for lowering in ("naive", "im2col"):
        assert row(forward, "conv", lowering).flops == 2 * macs
        assert row(backward, "conv", lowering).flops == 3 * 2 * macs
        assert row(forward, None, lowering).flops == 2 * macs + 2 * 2 * 48 * 5


def test_scratch_and_peak_are_the_memory_plans(net, forward, backward):
    patches = 3 * 9 * (2 * 3 * 4) * 4
    for comparison in (forward, backward):
        found = row(comparison, "conv", "im2col")
        assert found.scratch["im2col"] == patches
        assert patches < found.scratch_bytes <= found.peak_bytes
    assert row(forward, "conv", "naive").scratch_bytes == 0
    # What the convolution keeps for its backward is an activation, no scratch of its own or of the next layer's.
    assert "transpose" in row(forward, "conv", "im2col").scratch
    assert "transpose" not in row(backward, "conv", "im2col").scratch
    assert row(backward, "fc", "im2col").scratch == {}
    compiled = convir.compile(net.eval(), SHAPE, conv="im2col", wrt=())
    net.train()
    assert row(forward, None, "im2col").peak_bytes == compiled.memory.peak_bytes == compiled.executable.arena.nbytes
    assert row(forward, None, "im2col").peak_bytes >= max(each.peak_bytes for each in forward.rows[1:4:2])


def test_times_are_measured_and_ordered(forward):
    for each in forward.rows:
        assert 0 < each.seconds_lower <= each.seconds <= each.seconds_upper
        assert each.runs == 3
    for group in (forward.rows[:2], forward.rows[2:4], forward.rows[4:]):
        fastest = min(each.seconds for each in group)
        assert [each.ratio for each in group] == [each.seconds / fastest for each in group]
    assert forward.best is min(forward.rows[4:], key=lambda each: each.seconds)


def test_a_layer_s_time_is_that_of_its_steps(net, monkeypatch):
    """The clock ticks whenever it is read, so every step takes a second."""
    ticks = itertools.count(0.0)
    monkeypatch.setattr(executable, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    comparison = convir.compare(net, SHAPE, repeats=3)
    graph = convir.trace(net, SHAPE)
    steps = {}
    for lowering in ("naive", "im2col"):
        compiled = convir.compile(graph, passes=passes(lowering, False))
        origins = Counter(contender.origin_of(step.node) for step in compiled.executable.halves[0])
        expected = {"conv": origins["conv"], "fc": origins["fc"], None: origins.total()}
        for layer, seconds in expected.items():
            found = row(comparison, layer, lowering)
            assert (found.seconds_lower, found.seconds, found.seconds_upper) == (seconds,) * 3
        steps[lowering] = origins
    assert row(comparison, "conv", "im2col").ratio == steps["im2col"]["conv"] / steps["naive"]["conv"] > 2
    assert row(comparison, "conv", "naive").ratio == 1
    assert comparison.best is row(comparison, None, "naive")


def test_errors_are_small_and_real(forward, backward):
    assert forward.reference == "float64 loop nest"
    for comparison in (forward, backward):
        for layer in ("conv", None):
            for lowering in ("naive", "im2col"):
                assert 0 < row(comparison, layer, lowering).error < 1e-6
        assert row(comparison, "fc", "im2col").error is None


def test_a_wrong_lowering_shows_in_the_error(net, monkeypatch):
    run = Contender.run

    def wrong(self, operands=None):
        run(self, operands)
        if self.lowering == "im2col" and len(self._runs) == 1:
            self.results[0][...] *= 1.5

    monkeypatch.setattr(Contender, "run", wrong)
    comparison = convir.compare(net, SHAPE, repeats=1)
    assert row(comparison, None, "im2col").error == pytest.approx(0.5, rel=1e-4)
    assert row(comparison, "conv", "im2col").error == pytest.approx(0.5, rel=1e-4)
    assert row(comparison, None, "naive").error < 1e-6


def test_without_the_loop_nest_the_reference_is_named():
    comparison = convir.compare(Net(), SHAPE, repeats=1, lowerings="im2col")
    assert comparison.reference == "float64 im2col"
    assert comparison.lowerings == ("im2col",)
    assert "there is nothing to compare it with." in str(comparison)


def test_gradients_of_both_agree_with_compile(net):
    graph = convir.trace(net, SHAPE)
    made = [Contender(name, graph, passes(name, True)) for name in ("naive", "im2col")]
    inputs = [numbers(value.type, 0) for value in graph.inputs]
    for each in made:
        each.operands = inputs, [np.ones((2, 5), np.float32)]
    take_turns(made, 1, 5.0, Progress())
    compiled = convir.compile(net.eval(), SHAPE)
    expected = [compiled(*inputs), *compiled.backward(np.ones((2, 5), np.float32)).values()]
    net.train()
    assert len(expected) == 6
    for each in made:
        for result, other in zip(each.results, expected, strict=True):
            np.testing.assert_allclose(result, other, rtol=1e-5, atol=1e-5)


class Clock:
    """Stands in for a contender: every run takes the same time."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self.seconds, self.log, self.spent = name, seconds, log, 0.0

    def has_time_left(self, seconds: float) -> bool:
        return not self.spent or self.spent + self.seconds <= seconds

    lowering = ""

    @property
    def fastest(self) -> float:
        return self.seconds if self.spent else 0.0

    def run(self) -> None:
        self.log.append(self.name)
        self.spent += self.seconds


def turns(seconds: dict[str, float], repeats: int, budget: float = 50.0) -> str:
    log: list[str] = []
    take_turns([Clock(name, each, log) for name, each in seconds.items()], repeats, budget, Progress())
    return "".join(log)


def test_contenders_take_turns_and_the_slow_one_stops_at_its_budget():
    ran = turns({"A": 1.0, "B": 0.2}, 4, 2.5)
    assert (ran.count("A"), ran.count("B")) == (2, 5)
    assert {frozenset(ran[:2]), frozenset(ran[2:4])} == {frozenset("AB")}


def test_each_round_has_an_order_of_its_own():
    ran = turns(dict.fromkeys("ABC", 1.0), 19)
    rounds = [ran[place : place + 3] for place in range(0, len(ran), 3)]
    assert len(rounds) == 20
    assert {"".join(sorted(each)) for each in rounds} == {"ABC"}
    assert len(set(rounds)) == 6
    assert ran == turns(dict.fromkeys("ABC", 1.0), 19)


def test_one_without_hope_runs_a_few_times_and_apart_from_the_others():
    ran = turns({"A": 1.0, "B": 10.5, "C": 9.5}, 6, 1000.0)
    assert (ran.count("A"), ran.count("B"), ran.count("C")) == (7, 4, 7)
    assert "B" not in ran[6:-2]
    assert ran.endswith("BB")
    assert turns({"A": 1.0, "B": 11.0}, 1).count("B") == 2


def test_a_slow_one_runs_once_whatever_the_budget():
    log: list[str] = []
    take_turns([Clock("A", 60.0, log)], 4, 5.0, Progress())
    assert log == ["A"]


def test_a_single_run_counts_and_a_warm_up_does_not(net):
    graph = convir.trace(net, SHAPE)
    made = Contender("im2col", graph, passes("im2col", False))
    for _ in range(3):
        made.run()
    assert len(made.runs) == 2


def test_json_has_every_field_and_is_plain(backward):
    data = json.loads(json.dumps(backward.to_json(), allow_nan=False))
    assert data["schema"] == "convir.compare/2"
    assert data["inputs"] == {"x": "f32[2,3,6,7]"}
    assert data["backward"] is True
    assert data["best"] == "im2col"
    assert set(data["rows"][0]) == {field.name for field in dataclasses.fields(ComparisonRow)}
    assert data["rows"][-1]["layer"] is None


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_and_keeps_what_matters(backward, width):
    text = backward.table().text(width)
    assert max(map(len, text.splitlines())) <= width
    for needed in ("conv", "whole net", "naive", "im2col", "best", "scratch", "time", "ratio", "forward and backward"):
        assert needed in text
    assert ("quartiles" in text.splitlines()[1]) == (width == 120)


def test_infinite_values_are_no_error_figure():
    ones = np.ones(3)
    assert relative_error([ones * np.inf], [ones]) is None
    assert relative_error([ones], [ones * np.nan]) is None
    assert relative_error([np.zeros(3)], [np.zeros(3)]) == 0
    assert relative_error([ones, ones * 2.5], [ones, ones * 2]) == 0.25


def test_float64_and_labels_and_constants():
    def model(x, label):
        return nn.functional.cross_entropy(x * 2.0 + 1.0, label)

    comparison = convir.compare(
        model, convir.TensorType((4, 3), "float64"), convir.TensorType((4,), "int64"), repeats=1, backward=True
    )
    assert row(comparison, None, "naive").error == 0


def test_the_model_is_left_as_it_was(net):
    before = {name: array.copy() for name, array in net.state_dict().items()}
    convir.compare(net, SHAPE, repeats=1)
    assert net.training
    assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowerings": ["im2col", "winograd"]}, "unknown lowering strategy 'winograd'"),
        ({"lowerings": []}, "nothing to compare: lowerings is empty"),
        ({"repeats": 0}, "repeats must be an integer of at least 1, got 0"),
        ({"repeats": True}, "repeats must be an integer of at least 1, got True"),
        ({"repeats": 2.5}, "repeats must be an integer of at least 1, got 2.5"),
        ({"time_budget": 0}, "time_budget must be a positive number of seconds, got 0"),
        ({"time_budget": float("nan")}, "time_budget must be a positive number"),
        ({"time_budget": float("inf")}, "time_budget must be a positive number"),
    ],
)
def test_bad_options(net, options, message):
    with pytest.raises(convir.UnsupportedError, match=message):
        convir.compare(net, SHAPE, **options)


def test_backward_without_anything_to_differentiate():
    graph = convir.trace(lambda x: x + 1.0, convir.TensorType((2,), "float32"))
    assert convir.compare(graph, backward=True, repeats=1).backward
    with pytest.raises(convir.UnsupportedError, match="nothing to differentiate"):
        convir.compare(lambda x: x.reshape(1, 2), convir.TensorType((2,), "int64"), backward=True)


def test_a_graph_takes_no_specs(net):
    with pytest.raises(convir.ConvirError, match="takes no others"):
        convir.compare(convir.trace(net, SHAPE), SHAPE)
