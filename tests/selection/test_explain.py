"""What explain() says of each convolution: what was chosen, what else there is, what its times are of."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

import convir
from convir import nn, zoo
from convir.common.table import cell_width
from convir.passes.lower_conv import im2col_tiled
from convir.selection import measured
from convir.selection.timing import Time


def net(batch=2):
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
    return nn.Sequential(*layers, nn.Conv2d(8, 4, 1)), (batch, 3, 12, 12)


def test_explaining_what_was_chosen(round_machine):
    compiled = convir.compile(*net(), conv={"conv2d_2": "winograd_2x2", "*": "auto"}, inference=True, tile=99)
    explanation = compiled.explain()
    choices = {name: choice for choice in explanation.choices for name in choice.layers}
    assert choices["conv2d_2"].strategy == "winograd_2x2"
    assert choices["conv2d_2"].reason == "asked for"
    assert choices["conv2d"].reason == "the least predicted time"
    assert choices["conv2d"].strategy == choices["conv2d"].best_predicted.strategy
    text = str(explanation)
    assert "needs a 1x1 kernel, and this one is 3x3" in text
    assert "chosen" in text
    data = explanation.to_json()
    assert data["schema"] == "convir.explain/1"
    assert [each["strategy"] for each in data["choices"]] == [each.strategy for each in explanation.choices]


def test_layers_of_one_shape_share_an_explanation(round_machine):
    layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    explanation = convir.compile(nn.Sequential(*layers), (1, 4, 8, 8), conv="auto", inference=True).explain()
    (choice,) = explanation.choices
    assert choice.layers == ("conv2d", "conv2d_1", "conv2d_2")


def test_the_default_is_explained_too(round_machine):
    (first, _) = convir.compile(zoo.LeNet5(), (2, 1, 28, 28)).explain().choices
    assert first.reason == "the default of numpy"
    assert first.strategy == "toeplitz"


def test_a_model_without_convolutions_has_nothing_to_choose(round_machine):
    explanation = convir.compile(nn.Linear(3, 2), (4, 3), conv="auto").explain()
    assert explanation.choices == ()
    assert "There is no convolution." in str(explanation)


def test_an_explanation_says_the_threads_that_blas_has(monkeypatch, round_machine):
    explaining = import_module("convir.selection.explain")  # the package has a function of this name
    monkeypatch.setattr(explaining, "usable_threads", lambda limit: min(limit, 3))
    monkeypatch.setattr("convir.tiling.machine_cpus", lambda: 8)
    compiled = convir.compile(nn.Conv2d(16, 16, 3), (16, 16, 34, 34), conv="auto", threads=1000, tile=99)
    assert compiled.explain().threads == 3
    assert "3 threads a matrix product" in str(compiled.explain())


def test_what_times_are_of_is_said(round_machine):
    folded = convir.compile(*net(), conv="auto", inference=True).explain()
    assert {each.run for each in folded.choices} == {"forward, weight folded"}
    assert {each.run for each in convir.compile(*net(), conv="auto", wrt=()).explain().choices} == {"forward"}
    weights = convir.compile(*net(), conv="auto", wrt=["0.weight"]).explain()
    assert weights.choices[0].run == "forward and gradient of weight"
    trained = convir.compile(*net(), conv="auto").explain()
    assert {each.run for each in trained.choices} == {"forward and gradients of image and weight"}
    assert f"{trained.choices[0].problem}; forward and gradients of image and weight" in " ".join(str(trained).split())
    assert trained.to_json()["choices"][0]["gradients"] == ["image", "weight"]
    assert "times of the whole batch" in str(trained)


def test_the_tile_that_times_are_of_is_said(round_machine):
    explanation = convir.compile(*net(64), conv="auto", tile=24, wrt=()).explain()
    assert "times of one tile of 24 of 64 samples" in " ".join(str(explanation).split())
    assert explanation.choices[0].problem.endswith("of f32[24,3,12,12], padding (1, 1)")
    data = json.loads(json.dumps(explanation.to_json()))
    assert data["part"] == {"samples": 24, "batch": 64}
    assert [data["choices"][0][name] for name in ("gradients", "folded")] == [[], False]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("conv", ["auto", "measure"])
def test_no_line_is_wider_than_the_terminal(round_machine, monkeypatch, conv, width):
    def times_of(layers, known, place):
        taking = {
            layer: [each for each in known if not each.refuses(layer.op, layer.image, layer.weight)] for layer in layers
        }
        return {
            layer: {each.name: Time(0.0123, 0.0123, 0.0123, 5, 12345678, 1.2e-7) for each in taking[layer]}
            for layer in layers
        }

    monkeypatch.setattr(measured, "times_of", times_of)
    monkeypatch.setenv("COLUMNS", str(width))
    text = str(convir.compile(*net(), conv=conv).explain())
    assert max(map(cell_width, text.splitlines())) <= width
    for said in ("scratch", "ratio", "chosen", "Not considered", *(("measured", "error") if conv == "measure" else ())):
        assert said in text
    assert ("(not shown at this width: bound by)" in text) == (conv == "measure" and width == 60)


def test_what_was_asked_for_is_not_among_what_was_not_considered(round_machine):
    text = str(convir.compile(nn.Conv2d(1, 1, 3), (1, 1, 6, 6), conv="naive").explain())
    assert "conv2d by naive (asked for): 1 filters 3x3" in " ".join(text.split())
    assert "is the reference" not in text


def test_a_strategy_with_settings_of_its_own_is_the_chosen_one(round_machine):
    conv = {"*": im2col_tiled(65536)}
    explanation = convir.compile(nn.Conv2d(3, 8, 3), (2, 3, 12, 12), conv=conv).explain()
    (choice,) = explanation.choices
    first = next(line for line in str(explanation).splitlines() if line.startswith(choice.strategy))
    assert "chosen" in first
