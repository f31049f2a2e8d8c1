"""``auto`` and ``measure`` compete beside the strategies, and say what they chose."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from support.choosing import forget
from support.machines import ROUND

import convir
from convir import nn
from convir.comparison import alone, prediction
from convir.passes.lower_conv import STRATEGIES
from convir.selection import forecast


class Net(nn.Module):
    """Layers that suit different strategies."""

    def __init__(self):
        self.wide = nn.Conv2d(32, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.large = nn.Conv2d(32, 2, 7, padding=3)
        self.point = nn.Conv2d(2, 4, 1)

    def forward(self, x):
        return self.point(self.large(self.pool(nn.functional.relu(self.wide(x)))))


SHAPE = (2, 32, 24, 24)
NAMES = ["im2col", "winograd_4x4", "auto"]


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """The same choices on every machine, and nothing measured before."""
    for module in (prediction, forecast):
        monkeypatch.setattr(module, "figures_for", lambda kernels, threads, dtype: ROUND)
    forget()
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path))
    yield
    forget()


def rows(comparison, lowering):
    return {row.layer: row for row in comparison.rows if row.lowering == lowering}


@pytest.mark.parametrize("backward", [False, True])
def test_rows_say_what_was_chosen_which_is_what_compile_chooses(backward):
    found = convir.compare(Net(), SHAPE, lowerings=NAMES, repeats=1, threads=1, backward=backward)
    compiled = convir.compile(Net(), SHAPE, conv="auto", wrt=None if backward else (), threads=1)
    expected = {row.node: row.strategy for row in compiled.lowering.rows}
    assert len(set(expected.values())) > 1
    mine = rows(found, "auto")
    assert {layer: row.chosen for layer, row in mine.items() if row.is_convolution} == {
        layer: (strategy,) for layer, strategy in expected.items()
    }
    assert mine[None].chosen == tuple(dict.fromkeys(expected.values()))
    assert mine["pool"].chosen == ()
    assert {row.chosen for row in found.rows if row.lowering != "auto"} == {()}


def test_a_layer_alone_is_that_of_the_strategy_that_computes_it_in_the_net():
    names = [*(each.name for each in STRATEGIES if each.name != "naive"), "auto"]
    found = convir.compare(Net(), SHAPE, lowerings=names, repeats=1, threads=1)
    for layer, row in rows(found, "auto").items():
        if row.is_convolution:
            same = rows(found, row.chosen[0])[layer]
            assert (row.error, row.allocated_bytes) == (same.error, same.allocated_bytes)
            assert row.scratch_bytes == same.scratch_bytes


def test_nobody_chooses_anew_for_a_layer_alone_and_one_strategy_is_measured_once(monkeypatch):
    made = []
    whole = alone.contender
    monkeypatch.setattr(alone, "contender", lambda name, *others: made.append(name) or whole(name, *others))
    found = convir.compare(Net(), SHAPE, lowerings=[*NAMES, "direct"], repeats=1, threads=1)
    expected = Counter()
    for layer in ("wide", "large", "point"):
        by = {name: rows(found, name)[layer] for name in found.lowerings}
        expected.update({row.chosen[0] if row.chosen else row.computed_by or name for name, row in by.items()})
    assert Counter(made) == expected


def test_a_layer_is_compared_under_every_strategy_and_auto():
    layer = convir.conv_layer(4, 8, 3, 9, batch=2)
    found = convir.compare_layer(layer, repeats=1, threads=1)
    assert found.lowerings[-1] == "auto"
    assert {*found.lowerings[:-1]} | {each.lowering for each in found.left_out} == {each.name for each in STRATEGIES}
    row = found.totals[-1]
    same = rows(found, row.chosen[0])[None]
    assert len(row.chosen) == 1
    assert (row.flops, row.peak_bytes, row.error) == (same.flops, same.peak_bytes, same.error)
    assert row.predicted_seconds == same.predicted_seconds
    best = min(each.predicted_seconds for each in found.totals if each.predicted_seconds is not None)
    assert row.predicted_seconds == best


def test_measure_takes_what_it_measured():
    layer = convir.conv_layer(4, 8, 3, 9, batch=2)
    found = convir.compare_layer(layer, lowerings=["measure", "im2col"], repeats=1, threads=1)
    compiled = convir.compile(
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False)), (2, 4, 9, 9), conv="measure", wrt=(), threads=1
    )
    assert found.totals[0].chosen == (compiled.lowering.rows[0].strategy,)
    assert found.left_out == ()


def test_who_chooses_may_stand_alone():
    found = convir.compare_layer(convir.conv_layer(2, 2, 3, 5), lowerings="auto", repeats=1, threads=1)
    assert found.lowerings == ("auto",)
    assert found.verdict.startswith("auto takes ")


def test_a_sweep_says_what_was_chosen_at_each_value():
    layer = convir.conv_layer(8, 8, 3, 16)
    found = convir.sweep(layer, "kernel", [1, 3, 7], lowerings=["im2col", "auto"], repeats=1, threads=1)
    chosen = {value: row.chosen for value, row in found.rows["auto"].items()}
    assert set(chosen) == {1, 3, 7}
    assert all(len(each) == 1 for each in chosen.values())
    assert found.sentences()[-1].startswith(f"auto chooses {chosen[1][0]} at kernel 1")
    assert convir.sweep(layer, "kernel", [3], repeats=1, threads=1).lowerings[-1] == "auto"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_name_what_was_chosen(width):
    found = convir.compare_layer(convir.conv_layer(8, 8, 3, 16), lowerings=NAMES, repeats=1, threads=1)
    text = found.table().text(width)
    assert max(map(len, text.splitlines())) <= width
    assert f"auto ({found.totals[-1].chosen[0]})" in text
    net = convir.compare(Net(), SHAPE, lowerings=NAMES, repeats=1, threads=1)
    text = " ".join(net.table().text(width).split())
    for layer, row in rows(net, "auto").items():
        if row.is_convolution:
            assert f"{row.chosen[0]} for " in text
            assert layer in text.split("auto chooses ")[1]


def test_what_another_computes_is_named_in_its_row():
    found = convir.compare(Net(), SHAPE, lowerings=["im2col", "depthwise"], repeats=1, threads=1)
    assert "depthwise (toeplitz)" in found.table().text(120)


def test_json_is_plain():
    found = convir.compare_layer(convir.conv_layer(2, 2, 3, 5), lowerings=NAMES, repeats=1, threads=1)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["rows"][-1]["chosen"] == list(found.totals[-1].chosen)
    assert data["lowerings"] == NAMES


def test_nobody_else_chooses():
    with pytest.raises(convir.UnsupportedError, match="unknown lowering strategy 'Auto'"):
        convir.compare_layer(convir.conv_layer(2, 2, 3, 5), lowerings=["Auto"])
    with pytest.raises(convir.UnsupportedError, match="lowerings names auto more than once"):
        convir.compare_layer(convir.conv_layer(2, 2, 3, 5), lowerings=["auto", "auto"])
