"""Predicted seconds of layers and whole nets, and what a machine can do at most."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.machines import ROUND

import convir
from convir import nn
from convir.comparison import prediction
from convir.comparison.report import Roofline
from convir.selection import forecast
from convir.selection.figures import COPIES
from convir.selection.roofline import predict_nodes

#: Copies from the first cache to memory, the second the fastest.
MACHINE = replace(ROUND, copy_gbytes=(80.0, 90.0, *(40.0 for _ in COPIES[3:]), 10.0))


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        return self.last(self.pool(self.first(x)))


SHAPE = (2, 3, 8, 8)


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[tuple[str, int, str]]:
    """Predictions are those of MACHINE; what figures were asked for."""
    calls: list[tuple[str, int, str]] = []

    def figures_for(kernels, threads, dtype):
        calls.append((kernels.name, threads, dtype))
        return MACHINE

    monkeypatch.setattr(prediction, "figures_for", figures_for)
    monkeypatch.setattr(forecast, "figures_for", figures_for)
    return calls


def by(comparison, layer=None):
    return {row.lowering: row.predicted_seconds for row in comparison.rows if row.layer == layer}


def test_a_pointwise_layer_is_one_product():
    layer = convir.conv_layer(5, 7, 1, 6)
    found = convir.compare_layer(layer, lowerings=["pointwise", "naive"], repeats=1, threads=1)
    moved = 4 * (5 * 7 + 5 * 36 + 7 * 36)
    seconds = 2 * 5 * 7 * 36 / 50e9 + 1e-6 + moved * (1 / 80e9 - 1 / 90e9)
    assert by(found)["pointwise"] == pytest.approx(seconds)
    assert by(found)["naive"] is None
    assert by(found, "result") == by(found)


@pytest.mark.parametrize("backward", [False, True])
def test_layers_add_up_to_the_whole_of_every_node_that_runs(backward):
    names = ["naive", "im2col", "winograd_2x2", "auto"]
    found = convir.compare(Net(), SHAPE, lowerings=names, repeats=1, threads=1, backward=backward)
    for name in names[1:]:
        compiled = convir.compile(Net(), SHAPE, conv=name, wrt=None if backward else (), threads=1)
        nodes = [node for graph in compiled.program.graphs for node in graph.nodes]
        whole = predict_nodes(nodes, compiled.program.kernels, MACHINE).seconds
        assert by(found)[name] == pytest.approx(whole)
        layers = [row.predicted_seconds for row in found.rows if row.lowering == name and row.layer]
        assert sum(layers) == pytest.approx(whole)
    assert by(found)["naive"] is by(found, "first")["naive"] is None
    assert by(found, "pool")["naive"] > 0


def test_transforms_of_weights_count_unless_they_were_folded():
    layer = convir.conv_layer(4, 4, 3, 8)
    options = {"lowerings": ["im2col", "winograd_4x4", "fft"], "repeats": 1, "threads": 1}
    live, folded = (by(convir.compare_layer(layer, **options, inference=each)) for each in (False, True))
    assert folded["winograd_4x4"] < live["winograd_4x4"]
    assert folded["fft"] < live["fft"]
    assert folded["im2col"] == live["im2col"]


def test_a_prediction_is_of_the_whole_batch_whatever_was_timed(monkeypatch):
    from convir.comparison import fit

    options = {"lowerings": ["im2col"], "repeats": 1, "threads": 1}
    layer = convir.conv_layer(4, 4, 3, 8, batch=8)
    whole = by(convir.compare_layer(layer, **options))
    monkeypatch.setattr(fit, "SURE_FLOPS", 1e-3)
    monkeypatch.setattr(
        fit,
        "_shrink",
        lambda entrant, problem, seconds, settings: entrant.shrink(
            fit._smaller(entrant.lowering, problem, 1, settings), 1
        ),
    )
    part = convir.compare_layer(layer, **options)
    assert part.totals[0].extrapolated_from == 1
    assert by(part) == whole


@pytest.mark.parametrize(("threads", "dtype"), [(1, "float32"), (1, "float64")])
def test_figures_are_those_of_the_threads_and_elements_that_run(asked, threads, dtype):
    convir.compare_layer(convir.conv_layer(2, 2, 3, 5, dtype=dtype), lowerings=["im2col"], repeats=1, threads=threads)
    assert set(asked) == {("numpy", threads, dtype)}


def test_a_net_of_labels_is_predicted_with_the_elements_of_its_parameters(asked):
    def loss(x, label):
        return nn.functional.cross_entropy(x, label)

    specs = convir.TensorType((4, 3), "float64"), convir.TensorType((4,), "int64")
    convir.compare(loss, *specs, lowerings="im2col", repeats=1)
    assert {dtype for _, _, dtype in asked} == {"float64"}


def test_the_ceilings_are_the_best_product_and_the_copies_through_memory_and_in_cache():
    layer = convir.conv_layer(2, 2, 3, 5)
    for found in (
        convir.compare_layer(layer, lowerings=["im2col"], repeats=1),
        convir.compare(Net(), SHAPE, lowerings=["im2col"], repeats=1),
    ):
        assert found.roofline == Roofline(gflops=50.0, gbytes=10.0, cached_gbytes=90.0)
        assert json.loads(json.dumps(found.to_json()))["roofline"]["cached_gbytes"] == 90.0


def test_tables_show_what_was_predicted_where_there_is_room():
    layer = convir.conv_layer(4, 4, 3, 8)
    found = convir.compare_layer(layer, lowerings=["im2col", "naive"], repeats=1, threads=1)
    wide, narrow = found.table().text(140), found.table().text(70)
    assert "predicted" in wide.splitlines()[1]
    assert "predicted" not in narrow.splitlines()[1]
    assert "predicted" in narrow.split("not shown at this width: ")[1].split(")")[0]
    only = convir.compare_layer(layer, lowerings=["naive"], repeats=1, threads=1)
    assert "predicted" not in str(only).lower()
    swept = convir.sweep(layer, "kernel", [3, 5], lowerings=["im2col", "naive"], repeats=1, threads=1)
    lines = swept.table("predicted").text(100).splitlines()
    assert " predicted in us by kernel" in lines[0]
    assert lines[-1].split() == ["naive", "-", "-"]
