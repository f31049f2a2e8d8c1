"""compare_layer(): one convolution by itself, its memory measured, its error recomputed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import convir
from convir import ShapeError, UnsupportedError, nn, zoo
from convir.comparison import ComparisonRow, allocation, problem
from convir.comparison.contender import contender
from convir.comparison.problem import LayerProblem
from convir.comparison.settings import checked_settings
from convir.passes.lower_conv import STRATEGIES
from convir.runtime import Arena

GENERAL = convir.conv_layer(4, 6, 3, 9, batch=2)
LAYERS = {
    "same": GENERAL,
    "strided": convir.conv_layer(3, 4, (3, 5), (11, 8), batch=3, stride=2, padding=1, bias=True),
    "pointwise": convir.conv_layer(5, 7, 1, 6),
    "depthwise": convir.conv_layer(6, 6, 3, 7, groups=6, batch=2),
    "grouped": convir.conv_layer(4, 6, 3, 7, groups=2, dilation=2),
}
QUICK = {"repeats": 1, "time_budget": 0.5, "threads": 1}


@pytest.fixture(scope="module")
def compared():
    return convir.compare_layer(GENERAL, repeats=2, threads=1)


def by_name(comparison):
    return {row.lowering: row for row in comparison.totals}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_what_is_predicted_is_allocated_under_every_strategy(layer, backward):
    comparison = convir.compare_layer(layer, backward=backward, **QUICK)
    names = {row.lowering for row in comparison.totals} | {each.lowering for each in comparison.left_out}
    assert names == {each.name for each in STRATEGIES} | {"auto"}
    for row in comparison.totals:
        assert 0 < row.allocated_bytes == row.peak_bytes
        assert row.scratch_bytes <= row.allocated_bytes


def test_every_layer_but_the_first_is_for_a_strategy_that_refuses_that():
    taking = {name: set(by_name(convir.compare_layer(layer, **QUICK))) for name, layer in LAYERS.items()}
    assert "pointwise" in taking["pointwise"] - taking["same"]
    assert "depthwise" in taking["depthwise"] - taking["same"]


def test_a_second_arena_would_be_noticed(monkeypatch):
    program = contender("im2col", LayerProblem(GENERAL).graph, checked_settings(False, 1, 1.0, "numpy", 1))
    expected = program.compiled.memory.peak_bytes
    whole = allocation.Executable

    def twice(*args):
        executable = whole(*args)
        executable.hidden = Arena(4096), np.empty(1000, np.uint8)
        return executable

    assert allocation.measured_allocation(program.compiled.program).arena == expected
    constants = allocation.measured_allocation(program.compiled.program).constants
    monkeypatch.setattr(allocation, "Executable", twice)
    found = allocation.measured_allocation(program.compiled.program)
    assert found.arena == expected + 4096 + 64
    assert found.constants == constants + 1000


def test_what_kernels_keep_beside_the_arena_does_not_grow_with_channels_and_batch():
    settings = checked_settings(False, 1, 1.0, "numpy", 1)
    large = convir.conv_layer(32, 32, 3, 9, batch=8)
    for each in (row.lowering for row in convir.compare_layer(GENERAL, **QUICK).totals):
        small, other = (
            allocation.measured_allocation(contender(each, LayerProblem(layer).graph, settings).compiled.program)
            for layer in (GENERAL, large)
        )
        assert small.constants == pytest.approx(other.constants, abs=64)
        assert other.constants < 10_000 < other.arena


def test_scratch_is_what_the_patch_matrix_takes(compared):
    patches = 4 * 9 * (9 * 9) * 2 * 4
    assert by_name(compared)["im2col"].scratch["im2col"] == patches
    assert by_name(compared)["naive"].scratch_bytes == 0


def test_operations_and_bytes(compared):
    macs = 2 * 6 * 81 * 4 * 9
    rows = by_name(compared)
    assert rows["naive"].flops == 2 * macs == rows["im2col"].flops
    assert rows["naive"].multiplications == macs
    image, weight, result = 2 * 4 * 81 * 4, 6 * 4 * 9 * 4, 2 * 6 * 81 * 4
    transposes = 2 * image + 2 * result
    assert rows["naive"].bytes_moved == image + weight + result + transposes
    assert rows["naive"].intensity == pytest.approx(2 * macs / rows["naive"].bytes_moved)
    assert rows["winograd_4x4"].multiplications < macs


def test_errors_are_those_of_an_independent_computation():
    """Numbers of the layer, convolved by NumPy in float64 from their windows."""
    held = LayerProblem(GENERAL)
    ran = contender("im2col", held.graph, checked_settings(False, 1, 1.0, "numpy", 1))
    image = ran.operands[0][0].transpose(3, 0, 1, 2).astype("float64")
    weight = np.asarray(held.graph.bindings["weight"].data, "float64")
    windows = sliding_window_view(np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3))
    exact = np.einsum("nchwij,ocij->ohwn", windows, weight)
    ran.run()
    expected = np.abs(ran.results[0] - exact).max() / np.abs(exact).max()
    found = convir.compare_layer(GENERAL, lowerings=["im2col"], **QUICK)
    assert found.totals[0].error == pytest.approx(expected, rel=1e-6)


def test_it_is_a_net_of_one_layer(compared):
    count = len(compared.totals)
    assert [row.layer for row in compared.rows] == ["result"] * count + [None] * count
    for layer, whole in zip(compared.rows[:count], compared.totals, strict=True):
        assert layer == dataclasses.replace(whole, layer="result", op="conv2d")
    assert compared.layer == "6 filters 3x3 of f32[2,4,9,9], padding (1, 1)"
    assert compared.has_convolution
    assert all(isinstance(row, ComparisonRow) for row in compared.rows)


def test_refusals_are_told(compared):
    told = {each.lowering: each.reason for each in compared.left_out}
    assert told == {
        "pointwise": "needs a 1x1 kernel, and this one is 3x3",
        "depthwise": "needs as many groups as there are input channels, 4, and has groups=1",
    }
    assert "pointwise is left out: it needs a 1x1 kernel, and this one is 3x3." in compared.table().text(200)
    assert json.loads(json.dumps(compared.to_json()))["left_out"][0]["lowering"] == "pointwise"


@pytest.mark.parametrize("sizes", [(4, 4, 3, 2**20), (10**6, 10**6, 3, 9)])
def test_what_no_machine_holds_is_refused_before_anything_is_allocated(sizes):
    with pytest.raises(convir.MemoryLimitError, match=r"the image, the weight and the result of .* take 3.* TiB, and"):
        convir.compare_layer(convir.conv_layer(*sizes), lowerings=["im2col"], **QUICK)


def test_plans_that_do_not_fit_the_machine_are_refused(monkeypatch):
    monkeypatch.setattr("convir.runtime.arena.machine_bytes", lambda: 4096)
    with pytest.raises(convir.MemoryLimitError, match="the memory plan needs"):
        convir.compare_layer(GENERAL, lowerings=["im2col"], **QUICK)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_of_a_layer(compared, width):
    text = compared.table().text(width)
    assert max(map(len, text.splitlines())) <= width
    heading = text.splitlines()[1]
    assert "lowering" in heading
    assert "whole net" not in text
    assert "result" not in text.splitlines()[3]
    assert ("allocated" in heading) == (width == 200)
    for needed in ("scratch", "time", "ratio", "error"):
        assert needed in heading


def test_a_layer_of_a_model_is_the_same_problem_as_one_by_its_sizes():
    layers = convir.conv_layers(zoo.lenet5(), (8, 1, 28, 28))
    assert set(layers) == {"conv1", "conv2"}
    by_sizes = convir.conv_layer(1, 6, 5, 28, batch=8, bias=layers["conv1"].biased)
    assert layers["conv1"] == by_sizes
    assert layers["conv2"].weight.shape == (16, 6, 5, 5)


def test_weights_that_the_model_computes():
    def model(x, weight):
        return nn.functional.conv2d(x, weight * 2.0)

    (found,) = problem.layers_of(convir.trace(model, (1, 2, 5, 5), (3, 2, 3, 3))).values()
    assert found.parameters is None
    assert found.graph.bindings["weight"].data.shape == (3, 2, 3, 3)


def test_same_padding_keeps_the_size():
    for kernel, dilation in ((1, 1), (3, 1), ((5, 3), 1), (3, 2), (2, 2)):
        layer = convir.conv_layer(2, 3, kernel, (9, 8), dilation=dilation)
        assert layer.result.shape == (1, 3, 9, 8)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0, 1, 3, 8), {}, "channels must be an integer of at least 1, got 0"),
        ((1, True, 3, 8), {}, "filters must be an integer of at least 1, got True"),
        ((1, 1, 0, 8), {}, "kernel must be an integer of at least 1, got 0"),
        ((1, 1, (3, 3, 3), 8), {}, "kernel is a number, or two for rows and columns, got"),
        ((1, 1, 2, 8), {}, "padding='same' needs as much on both sides, and a kernel of 2x2 has no middle"),
        ((1, 1, 3, 8), {"padding": -1}, "padding must be an integer of at least 0, got -1"),
        ((1, 1, 3, 8), {"padding": "valid"}, "padding must be an integer of at least 0, got 'valid'"),
        ((1, 1, 3, 8), {"stride": 1.5}, "stride must be an integer of at least 1, got 1.5"),
        ((4, 6, 3, 8), {"groups": 4}, "groups=4 must divide channels and filters, which are 4 and 6"),
        ((1, 1, 3, 8), {"dtype": "int64"}, "dtype must be float32 or float64, got 'int64'"),
    ],
)
def test_convolutions_that_there_are_not(sizes, options, message):
    with pytest.raises(UnsupportedError, match=message):
        convir.conv_layer(*sizes, **options)


def test_a_kernel_larger_than_the_image():
    with pytest.raises(ShapeError, match="larger than the padded input"):
        convir.conv_layer(1, 1, 9, 4, padding=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"lowerings": ["depthwise", "pointwise"]},
            "nothing that is named computes .*: depthwise needs as many groups",
        ),
        ({"lowerings": []}, "nothing to compare"),
        ({"lowerings": "magic"}, "unknown lowering strategy 'magic'"),
        ({"repeats": 0}, "repeats must be an integer of at least 1, got 0"),
        ({"time_budget": "5"}, "time_budget must be a positive number of seconds, got '5'"),
        ({"backend": "cuda"}, "unknown backend='cuda'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UnsupportedError, match=message):
        convir.compare_layer(GENERAL, **options)


def test_bad_threads():
    with pytest.raises(convir.ConvirError, match="threads is a positive integer"):
        convir.compare_layer(GENERAL, threads=0)


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [("conv1", "'conv1'", "'conv1'"), (None, "name", "a NoneType"), (nn.Conv2d(1, 1, 3), "name", "a Conv2d")],
)
def test_what_is_no_layer(given, named, said):
    for callee, call in (("compare_layer", convir.compare_layer), ("sweep", lambda given: convir.sweep(given, "size"))):
        with pytest.raises(UnsupportedError) as caught:
            call(given)
        assert caught.value.message == (
            f"{callee} takes a convolution, convir.conv_layer(...) by its sizes or "
            f"convir.conv_layers(model, shape)[{named}] of a model; not {said}"
        )


def test_lowerings_are_names():
    with pytest.raises(UnsupportedError, match=r"lowerings are names of strategies, and Strategy.* is none"):
        convir.compare_layer(GENERAL, lowerings=[STRATEGIES[0], "im2col"], **QUICK)
