"""Comparisons with folded parameters."""

from __future__ import annotations

import json

import pytest

import convir
from convir import nn

LAYER = convir.conv_layer(4, 6, 3, 8, batch=2, bias=True)
NAMES = ["naive", "im2col", "winograd_2x2", "fft"]
QUICK = {"repeats": 1, "threads": 1}


class Net(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return self.last(self.drop(nn.functional.relu(self.conv(x))))


def by_name(comparison):
    return {row.lowering: row for row in comparison.totals}


@pytest.fixture(scope="module")
def both():
    return [by_name(convir.compare_layer(LAYER, lowerings=NAMES, inference=each, **QUICK)) for each in (False, True)]


def test_transforms_of_weights_do_not_count(both):
    live, folded = both
    read, written = 6 * 4 * 9 * 4, 6 * 4 * 16 * 4
    assert live["winograd_2x2"].bytes_moved - folded["winograd_2x2"].bytes_moved == read + written
    assert folded["fft"].flops < live["fft"].flops
    for name in ("naive", "im2col"):
        assert folded[name].flops == live[name].flops
        assert folded[name].bytes_moved == live[name].bytes_moved


def test_what_parameters_were_folded_into_is_counted(both):
    live, folded = both
    weight, bias = 6 * 4 * 9 * 4, 6 * 4
    assert {row.parameter_bytes for row in live.values()} == {weight + bias}
    assert folded["im2col"].parameter_bytes == weight + bias
    assert folded["winograd_2x2"].parameter_bytes == 6 * 4 * 16 * 4 + bias
    assert folded["fft"].parameter_bytes > folded["winograd_2x2"].parameter_bytes


def test_memory_is_still_what_was_predicted_and_results_are_right(both):
    for row in both[1].values():
        assert row.allocated_bytes == row.peak_bytes
        assert 0 < row.error < 1e-5


@pytest.mark.parametrize("width", [60, 120, 220])
def test_tables_say_so(width):
    text = convir.compare_layer(LAYER, lowerings=NAMES, inference=True, **QUICK).table().text(width)
    assert "forward, parameters folded" in " ".join(text.split())
    assert ("weights" in text.splitlines()[1]) == (width == 220)
    assert "weights" not in convir.compare_layer(LAYER, lowerings=NAMES, **QUICK).table().text(220)


def test_a_net_and_a_sweep():
    found = convir.compare(Net(), (2, 3, 7, 7), lowerings=[*NAMES, "auto"], inference=True, **QUICK)
    assert found.inference
    assert json.loads(json.dumps(found.to_json()))["inference"] is True
    for name, row in by_name(found).items():
        compiled = convir.compile(Net(), (2, 3, 7, 7), conv=name, inference=True, threads=1)
        assert row.peak_bytes == compiled.memory.peak_bytes
        assert row.flops == compiled.cost.lowered.counted_flops
    swept = convir.sweep(LAYER, "kernel", [3, 5], lowerings=NAMES, inference=True, **QUICK)
    assert swept.to_json()["inference"] is True
    assert ", forward, parameters folded: time in " in swept.table().text(120)


def test_weights_that_the_model_computes_are_not_folded():
    def model(x, weight):
        return nn.functional.conv2d(x, weight * 2.0)

    found = convir.compare(model, (1, 2, 5, 5), (3, 2, 3, 3), lowerings=NAMES, inference=True, **QUICK)
    assert by_name(found)["winograd_2x2"].error < 1e-5


@pytest.mark.parametrize(
    "compare",
    [
        lambda **options: convir.compare(Net(), (2, 3, 7, 7), **options),
        lambda **options: convir.compare_layer(LAYER, **options),
        lambda **options: convir.sweep(LAYER, "kernel", **options),
    ],
    ids=["net", "layer", "sweep"],
)
def test_not_with_a_backward(compare):
    with pytest.raises(convir.UnsupportedError, match="compare with inference or with backward, not with both"):
        compare(backward=True, inference=True)
