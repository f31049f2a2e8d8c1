"""``convir compare``: a model, a layer, a layer at several sizes."""

from __future__ import annotations

import json
import sys

import pytest

QUICK = ("--repeats", "1", "--threads", "1")


def test_a_layer_by_its_sizes(convir):
    run = convir("compare", "--layer", "4,6,3x1,9x7", "--batch", "2", "--stride", "2", "--padding", "1x0", *QUICK)
    assert run.status == 0
    assert run.err == "comparing 6 filters 3x1 of f32[2,4,9,7], stride (2, 2), padding (1, 0) ...\n"
    assert run.out.startswith("6 filters 3x1 of f32[2,4,9,7], stride (2, 2), padding (1, 0), forward\n")
    assert "depthwise is left out: it needs as many groups as there are input channels, 4, and has groups=1." in run.out


def test_the_padding_that_keeps_the_size_is_the_default(convir):
    options = ("--lowerings", "im2col", "--dtype", "float64", "--groups", "2", "--dilation", "2", "--json", *QUICK)
    plain = json.loads(convir("compare", "--layer", "4,6,3,9", *options).out)
    assert plain["layer"] == "6 filters 3x3 of f64[1,4,9,9], dilation (2, 2), padding (2, 2), 2 groups"
    assert (
        json.loads(convir("compare", "--layer", "4,6,3,9", "--padding", "same", *options).out)["layer"]
        == plain["layer"]
    )
    assert (plain["schema"], plain["lowerings"], plain["threads"]) == ("convir.compare/2", ["im2col"], 1)


def test_a_layer_of_a_model(convir):
    run = convir("compare", "nets.py:graph", "--layer", "conv", "--backward", "--lowerings", "im2col,direct", *QUICK)
    assert run.status == 0
    assert "4 filters 3x3 of f32[2,3,8,8], padding (1, 1), forward and backward" in run.out


def test_a_sweep(convir):
    options = ("--lowerings", "im2col,winograd_4x4", *QUICK)
    run = convir("compare", "--layer", "2,3,3,6", "--sweep", "kernel", "--values", "1,3", *options)
    assert run.status == 0
    assert run.err == "comparing 3 filters 3x3 of f32[1,2,6,6], padding (1, 1) by kernel ...\n"
    assert " by kernel\n" in run.out
    assert "winograd_4x4 has no kernel 1: it" in run.out
    data = json.loads(convir("compare", "nets.py:graph", "--layer", "conv", "--sweep", "batch", "--json", *options).out)
    assert (data["schema"], data["values"]) == ("convir.sweep/1", [1, 2, 4, 8, 16])


def test_auto_competes_where_there_is_a_convolution_and_nothing_is_named(convir):
    run = convir("compare", "nets.py:graph", "--json", *QUICK)
    assert run.err.startswith("comparing naive, ")
    assert run.err.endswith(", auto on net ...\n")
    assert json.loads(run.out)["lowerings"][-1] == "auto"
    assert "auto" not in convir("compare", "mlp", "--input", "2,1,8,8", *QUICK).out
    named = convir("compare", "nets.py:graph", "--lowerings", "measure,im2col", "--json", *QUICK)
    assert json.loads(named.out)["rows"][0]["chosen"]
    assert json.loads(convir("compare", "--layer", "2,3,3,6", "--json", *QUICK).out)["lowerings"][-1] == "auto"


def test_parameters_are_folded(convir):
    options = ("--inference", "--lowerings", "im2col,winograd_2x2", *QUICK)
    assert ", forward, parameters folded\n" in convir("compare", "--layer", "2,3,3,6", *options).out
    assert json.loads(convir("compare", "nets.py:graph", "--json", *options).out)["inference"] is True
    sweep = convir("compare", "--layer", "2,3,3,6", "--sweep", "size", "--values", "5,6", "--json", *options)
    assert json.loads(sweep.out)["inference"] is True


def test_a_sweep_as_a_page(convir, folder):
    options = ("--lowerings", "im2col,auto", "--html", "sweep.html", *QUICK)
    run = convir("compare", "--layer", "2,3,3,6", "--sweep", "kernel", "--values", "1,3", *options)
    assert run.err.endswith("page: sweep.html\n")
    assert "Kernel 3 in full" in (folder / "sweep.html").read_text()


@pytest.mark.slow
def test_a_model_by_another_backend(convir):
    pytest.importorskip("numba")
    run = convir("compare", "nets.py:graph", "--backend", "numba", "--lowerings", "direct", "--json", *QUICK)
    assert json.loads(run.out)["backend"] == "numba"


def test_a_plot_of_a_layer(convir, folder):
    pytest.importorskip("matplotlib")
    options = ("--lowerings", "im2col,direct", "--plot", "plot.svg", "--html", "page.html", *QUICK)
    run = convir("compare", "--layer", "2,3,3,6", *options)
    assert run.err.endswith("plot: plot.svg\npage: page.html\n")
    assert (folder / "plot.svg").exists()
    assert "direct" in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "there is nothing to compare: name a MODEL, or a convolution by --layer C,O,K,H"),
        (["--layer", "conv1"], "--layer conv1 is a layer of which model? Write convir compare MODEL --layer conv1"),
        (["lenet5", "--layer", "1,2,3,4"], "is a convolution by itself, and lenet5 a model: leave out one"),
        (["lenet5", "--layer", "conv9"], "lenet5 has no convolution 'conv9'; there are: conv1, conv2"),
        (["mlp", "--layer", "conv1"], "mlp has no convolution 'conv1'; there are: none"),
        (
            ["lenet5", "--layer", "conv1", "--batch", "3"],
            "conv1 of lenet5 has what --batch would say; the batch is in --input",
        ),
        (
            ["lenet5", "--stride", "2", "--sweep", "size"],
            "--stride, --sweep is for one convolution: say which by --layer",
        ),
        (["lenet5", "--values", "3"], "--values are those of a --sweep; say what varies, such as --sweep size"),
        (["--layer", "1,2,3"], "--layer takes four sizes, C,O,K,H, such as 64,128,3,56; 1,2,3 has 3"),
        (["--layer", "8"], "--layer takes four sizes, C,O,K,H, such as 64,128,3,56; 8 has 1"),
        (["--layer", "a,8,3,8"], "'a' is not a positive integer; write C,O,K,H"),
        (["--layer", "8,8,3y3,8"], "'3y3' is not a number, nor two for rows and columns, such as 3x5"),
        (["--layer", "8,8,3,٣"], "'٣' is not a number"),
        (["--layer", "0,8,3,8"], "channels must be an integer of at least 1, got 0"),
        (["--layer", "8,8,2,8"], "padding='same' needs as much on both sides, and a kernel of 2x2 has no middle"),
        (["--layer", "8,8,9,4", "--padding", "0"], "kernel 9x9 is larger than the padded input 4x4"),
        (["--layer", "8,8,3,8", "--groups", "3"], "groups=3 must divide channels and filters, which are 8 and 8"),
        (
            ["--layer", "8,8,3,8", "--input", "1,2"],
            "--input is for a model; the images of --layer 8,8,3,8 are its H and",
        ),
        (["--layer", "8,8,3,8", "--lowerings", "depthwise"], "nothing that is named computes 8 filters 3x3"),
        (["--layer", "8,8,3,8", "--inference", "--backward"], "compare with inference or with backward, not with both"),
        (["--layer", "8,8,3,8", "--sweep", "size", "--html", "page.txt"], "the suffix must be .html or .htm"),
        (["--layer", "8,8,3,8", "--lowerings", ","], "there is nothing to compare: lowerings is empty"),
        (
            ["--layer", "8,8,3,8", "--sweep", "size", "--plot", "a.svg"],
            "--plot draws one comparison, and a --sweep is several: write a page of it with --html",
        ),
        (
            ["--layer", "8,8,3,8", "--sweep", "size", "--values", "3,3"],
            "each size is compared once, but values has 3 twice",
        ),
    ],
)
def test_what_does_not_go_together(convir, argv, message):
    run = convir("compare", *argv)
    assert (run.status, run.out) == (2, "")
    assert message in run.err
    assert run.err.splitlines()[-1].startswith("convir: error: ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--padding", "valid"], "'valid' is not a number, nor two for rows and columns"),
        (["--stride", "1x2x3"], "'1x2x3' is not a number"),
        (["--batch", "0"], "'0' is not a positive integer"),
        (["--values", "3,a"], "'3,a': 'a' is not a positive integer; write such as 8,16,32"),
        (["--sweep", "depth"], "invalid choice: 'depth'"),
        (["--threads", "0"], "'0' is not a positive integer"),
        (["--backend", "cuda"], "invalid choice: 'cuda'"),
    ],
)
def test_options_that_do_not_read(convir, argv, message):
    run = convir("compare", "--layer", "8,8,3,8", *argv)
    assert run.status == 2
    assert message in run.err


def test_help_does_not_import_what_compares(convir):
    loaded = set(sys.modules)
    text = " ".join(convir("compare", "--help").out.split())
    assert "convir compare --layer 64,128,3,56 --batch 8" in text
    assert "same, which keeps the size at stride 1" in text
    assert "convir.comparison" not in set(sys.modules) - loaded
