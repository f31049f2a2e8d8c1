"""Each command: what it prints, as text and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

import convir as library
from convir import nn, zoo
from convir.cli import commands
from convir.ir import UnsupportedError


def test_trace_prints_the_graph_and_nothing_else(convir):
    run = convir("trace", "lenet5")
    assert run == (0, f"{library.trace(zoo.lenet5(), (1, 1, 28, 28))}\n", "")


def test_what_the_model_prints_goes_to_standard_error(convir, capsys):
    from convir.cli import main

    assert main(["trace", "nets.py:Net", "--input", "2,3,8,8"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("graph net(x: f32[2,3,8,8]) -> f32[2,10]:\n")
    assert captured.err == "imported\n"


def test_trace_takes_types_and_several_inputs(convir):
    assert (
        "add(x: f64[2,3], y: f64[3])"
        in convir("trace", "nets.py:add", "--input", "2,3", "--input", "3", "--dtype", "float64").out
    )
    assert "net(x: f64[2,3,8,8])" in convir("trace", "nets.py:Net", "--input", "2,3,8,8", "--dtype", "float64").out
    run = convir("trace", "nets.py:loss", "--input", "3,4", "--input", "3:int64", "--dtype", "float64")
    assert run.out.startswith("graph loss(x: f64[3,4], target: i64[3]) -> f64[]:")
    assert "graph net(x: f32[5,3,8,8])" in convir("trace", "nets.py:graph", "--input", "5,3,8,8").out
    assert "graph net(x: f32[2,3,8,8])" in convir("trace", "nets.py:graph").out


def test_trace_as_dot(convir):
    run = convir("trace", "lenet5", "--dot")
    assert run.out == library.trace(zoo.lenet5(), (1, 1, 28, 28)).to_dot()


def test_summary(convir):
    run = convir("summary", "lenet5", "--input", "64,1,28,28")
    assert run.out == f"{library.summary(zoo.lenet5(), (64, 1, 28, 28))}\n"
    assert "61,706" in run.out
    data = json.loads(convir("summary", "lenet5", "--json").out)
    assert data["totals"]["parameters"] == 61706
    assert data["totals"]["macs"] == 416520


def test_summary_of_costs(convir):
    data = json.loads(convir("summary", "lenet5", "--cost", "--json").out)
    assert data["totals"]["peak_bytes"] == library.estimate(zoo.lenet5(), (1, 1, 28, 28)).peak_bytes
    assert "as lowered" in convir("summary", "lenet5", "--cost").out


def test_render(convir, folder):
    pytest.importorskip("pygraphviz")
    run = convir("render", "lenet5", "--out", "net.svg", "--flops", "--direction", "LR")
    assert run == (0, "net.svg: 12 nodes of lenet5\n", "")
    assert "FLOP" in (folder / "net.svg").read_text()
    assert convir("render", "nets.py:Net", "--input", "1,3,8,8", "--depth", "0").out.startswith("net.svg: ")
    run = convir("render", "lenet5", "--stage", "lower_conv", "--inference", "--no-params", "--out", "stage.png")
    assert run.status == 0
    assert (folder / "stage.png").read_bytes().startswith(b"\x89PNG")


def test_stages_have_names_stems_and_numbers(convir):
    stages = library.compile(zoo.lenet5(), (1, 1, 28, 28)).stages
    names = [stage.name for stage in stages]
    assert commands._stage(stages, "fuse_relu") is stages[names.index("fuse_relu")]
    assert commands._stage(stages, "03_fuse_relu") is stages[3]
    assert commands._stage(stages, "3") is stages[3]
    assert names.count("eliminate_common_subexpressions") == 2
    last = len(names) - 1 - names[::-1].index("eliminate_common_subexpressions")
    assert commands._stage(stages, "eliminate_common_subexpressions") is stages[last]
    with pytest.raises(UnsupportedError, match="there is no stage 'nope'; there are 00_trace, 01_"):
        commands._stage(stages, "nope")


def test_compile(convir):
    run = convir("compile", "lenet5")
    assert run.status == 0
    for text in ("Stages of lenet5", "03_fuse_relu", "-4", "Cost of lenet5", "Memory of lenet5"):
        assert text in run.out
    data = json.loads(convir("compile", "lenet5", "--json", "--conv", "naive").out)
    compiled = library.compile(zoo.lenet5(), (1, 1, 28, 28), conv="naive")
    assert data["schema"] == "convir.compile/1"
    assert [stage["name"] for stage in data["stages"]] == [stage.name for stage in compiled.stages]
    assert [stage["nodes"] for stage in data["stages"]] == [len(stage.graph.nodes) for stage in compiled.stages]
    assert data["memory"] == compiled.memory.to_json()
    assert data["cost"] == compiled.cost.to_json()
    assert data["dump"] is None


def test_compile_prints_stages(convir):
    run = convir("compile", "lenet5", "--stages", "--inference")
    assert run.out.startswith("# trace (")
    assert "# fuse_relu (" in run.out
    assert "split_backward" not in run.out


def test_conv_for_all_or_by_name(convir):
    some = json.loads(convir("compile", "lenet5", "--conv", "conv1=naive", "--conv", "conv2=im2col", "--json").out)
    nodes = {row["name"]: row["lowered"]["nodes"] for row in some["cost"]["rows"]}
    assert nodes["conv1"] < nodes["conv2"]
    run = convir("compile", "lenet5", "--conv", "naive", "--conv", "conv1=im2col")
    assert run == (2, "", "convir: error: --conv is one NAME for all convolutions, or NODE=NAME for some, not both\n")
    assert "the convolutions are: conv1, conv2" in convir("compile", "lenet5", "--conv", "fc1=naive").err


def test_compare_to_a_page(convir, folder):
    run = convir("compare", "nets.py:graph", "--repeats", "1", "--lowerings", "im2col,depthwise", "--html", "page.html")
    assert run.status == 0
    assert run.err.splitlines()[-1] == "page: page.html"
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert "net: lowerings compared" in text
    assert "depthwise needs as many groups" not in run.out
    assert "needs as many groups" in text


def test_compare(convir, folder):
    pytest.importorskip("matplotlib")
    run = convir("compare", "nets.py:graph", "--repeats", "2", "--plot", "plot.svg", "--backward")
    assert run.status == 0
    general = "naive, im2col, toeplitz, direct, shift_gemm, im2col_tiled"
    first, last = run.err.splitlines()
    assert first.startswith(f"comparing {general}")
    assert "depthwise" not in first, "it refuses the net's convolutions"
    assert last == "plot: plot.svg"
    assert "net(x: f32[2,3,8,8]), forward and backward" in run.out
    assert (folder / "plot.svg").read_text().startswith("<?xml")
    run = convir("compare", "nets.py:graph", "--repeats", "1", "--lowerings", " im2col , ", "--json")
    data = json.loads(run.out)
    assert data["lowerings"] == ["im2col"]
    assert data["backward"] is False


def test_profile(convir):
    run = convir("profile", "nets.py:graph", "--repeats", "2", "--json", "--backward")
    data = json.loads(run.out)
    assert data["repeats"] == 2
    assert {row["half"] for row in data["rows"]} == {"forward", "backward"}
    assert convir("profile", "nets.py:graph", "--repeats", "1").out.startswith("Profile of net: ")


def test_compile_says_how_the_batch_is_divided(convir):
    run = convir("compile", "lenet5", "--input", "65,1,28,28", "--threads", "2")
    compiled = library.compile(zoo.lenet5(), (65, 1, 28, 28), threads=2)
    assert run.out.splitlines()[-1] == (
        f"Backend: numpy. A call runs {compiled.division}. Stages and memory are those of the largest tile."
    )
    assert str(compiled.division) == "2 tiles of 33 and 32 samples on 2 threads"
    data = json.loads(convir("compile", "lenet5", "--input", "65,1,28,28", "--threads", "2", "--json").out)
    assert data["backend"] == "numpy"
    assert data["division"] == {
        "text": str(compiled.division),
        "batch": 65,
        "tiles": 2,
        "samples": [33, 32],
        "lanes": 2,
        "threads": 2,
    }
    told = json.loads(convir("compile", "lenet5", "--input", "65,1,28,28", "--tile", "30", "--json").out)
    assert (told["division"]["tiles"], told["division"]["samples"]) == (3, [30, 5])
    one = convir("compile", "lenet5", "--stages")
    assert one.out.splitlines()[-1] == "Backend: numpy. A call runs one tile: the batch of 1 is small."


@pytest.mark.slow
@pytest.mark.parametrize(("options", "expected"), [([], "direct"), (["--conv", "im2col"], "im2col")])
def test_the_backend_chooses_the_lowering_unless_told(convir, options, expected):
    pytest.importorskip("numba")
    data = json.loads(convir("compile", "lenet5", "--inference", "--backend", "auto", "--json", *options).out)
    assert (data["backend"], data["division"]["text"]) == ("numba", "one tile: the batch of 1 is small")
    stages = library.compile(zoo.lenet5(), (1, 1, 28, 28), inference=True, backend="auto", conv=expected).stages
    assert [stage["nodes"] for stage in data["stages"]] == [len(stage.graph.nodes) for stage in stages]


@pytest.mark.slow
def test_profile_by_compiled_loops_in_tiles(convir):
    pytest.importorskip("numba")
    argv = ("profile", "lenet5", "--input", "64,1,28,28", "--inference", "--backend", "numba", "--threads", "2")
    data = json.loads(convir(*argv, "--json").out)
    assert (data["backend"], data["part"]) == ("numba", {"samples": 32, "batch": 64})
    # Two convolutions and three products, whatever they were fused with.
    assert len([row for row in data["rows"] if row["gflops"]]) == 5
    assert "one tile of 32 of 64 samples" in convir(*argv, "--repeats", "1").out


def test_a_backend_that_is_not_installed(convir, monkeypatch):
    from convir.runtime import backends

    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    for command in ("compile", "profile", "train"):
        run = convir(command, "mlp", "--backend", "numba")
        assert run == (
            2,
            "",
            "convir: error: backend='numba' needs Numba, which is not installed: pip install 'convir[numba]'\n",
        )
    assert json.loads(convir("compile", "mlp", "--backend", "auto", "--json").out)["backend"] == "numpy"


@pytest.mark.parametrize("option", [["--backend", "cuda"], ["--threads", "0"], ["--threads", "two"]])
def test_settings_of_runs_are_checked(convir, option):
    for command in ("compile", "profile", "train"):
        run = convir(command, "mlp", *option)
        assert run.status == 2
        assert option[0] in run.err
        assert "--threads N" in convir(command, "--help").out


def test_train_says_the_backend_and_takes_threads(convir, monkeypatch):
    told = []
    fit = library.training.fit
    monkeypatch.setattr(
        library.training, "fit", lambda *arrays, **options: told.append(options) or fit(*arrays, **options)
    )
    data = json.loads(convir("train", "mlp", "--epochs", "1", "--threads", "2", "--tile", "16", "--json").out)
    assert data["backend"] == "numpy"
    assert (told[0]["backend"], told[0]["threads"], told[0]["tile"]) == ("numpy", 2, 16)
    assert "seed 0, by numpy: " in convir("train", "mlp", "--epochs", "1").out


def test_train(convir, folder):
    run = convir("train", "--epochs", "2", "--seed", "3", "--save", "w.npz", "--json")
    assert run.err == ""
    data = json.loads(run.out)
    assert data["schema"] == "convir.train/1"
    assert (data["model"], data["seed"], data["train_samples"], data["test_samples"]) == ("digits_cnn", 3, 1438, 359)
    epochs = data["history"]["epochs"]
    assert len(epochs) == 2
    assert epochs[1]["train_loss"] < epochs[0]["train_loss"]
    assert data["test_accuracy"] == epochs[-1]["test_accuracy"] > 0.5
    assert set(np.load(folder / "w.npz")) == set(zoo.digits_cnn().state_dict())


def test_train_is_repeatable_and_prints_the_history(convir):
    first, second, other = (
        json.loads(convir("train", "mlp", "--epochs", "1", "--seed", seed, "--json").out)["history"]["epochs"]
        for seed in ("1", "1", "2")
    )
    assert first[0]["train_loss"] == second[0]["train_loss"] != other[0]["train_loss"]
    run = convir("train", "mlp", "--epochs", "1", "--optimizer", "sgd", "--dtype", "float64")
    assert "Held-out accuracy: " in run.out
    assert "of 359 digits" in run.out


def test_train_scales_the_digits_to_the_model(convir):
    assert convir("train", "lenet5", "--epochs", "1", "--batch-size", "128").status == 0
    assert convir("train", "nets.py:make", "--epochs", "1").status == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nets.py:Net", "--input", "1,3,8,8"], "the digits are images of one channel"),
        (["nets.py:make", "--input", "1,8"], "the digits are images of one channel"),
        (["nets.py:graph"], "nets.py:graph is no nn.Module; only those have weights to train"),
        (["mlp", "--save", "no/such/folder.npz", "--epochs", "1"], "no/such"),
    ],
)
def test_train_refuses(convir, argv, message):
    run = convir("train", *argv)
    assert run.status == 2
    assert run.out == ""
    assert run.err.startswith("convir: error: ")
    assert message in run.err


def test_filters_of_the_example_file_are_trained(convir):
    """The nets of the tests are real: their modules are the library's."""
    from convir.cli.load import load_model

    assert isinstance(load_model("nets.py:make").model, nn.Module)


def test_what_a_call_runs_is_as_wide_as_the_terminal(convir, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = convir("compile", "lenet5", "--input", "65,1,28,28", "--threads", "2").out
    last = out[out.index("Backend: ") :].splitlines()
    assert len(last) > 1
    assert max(map(len, last)) <= 60
