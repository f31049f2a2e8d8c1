"""Errors in terms of the command line, and before the work rather than after it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convir import data, training, zoo


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trace", "nets.py:add", "--input", "2,3"], "nets.py:add takes 2 inputs (x, y): give --input twice, got once"),
        (["trace", "nets.py:Net", *["--input", "2,3"] * 3], "takes 1 input (x): give --input once, got 3 times"),
        (["trace", "nets.py:graph", *["--input", "2"] * 2], "takes 1 input (x): give --input once, got twice"),
        (
            ["compile", "lenet5", "--conv", "conv1=naive,conv2=im2col"],
            "repeat it for several, --conv conv1=naive --conv conv2=im2col",
        ),
        (["compile", "lenet5", "--conv", "naive,im2col"], "--conv takes one NAME, or one NODE=NAME: repeat it"),
        (["compile", "lenet5", "--conv", "=naive"], "--conv =naive lacks a part; write NODE=NAME"),
        (["compile", "lenet5", "--conv", "conv1="], "--conv conv1= lacks a part; write NODE=NAME"),
        (
            ["compile", "lenet5", "--conv", "conv1=naive", "--conv", "conv1=im2col"],
            "--conv names conv1 more than once",
        ),
        (["compare", "lenet5", "--lowerings", "im2col,im2col"], "lowerings names im2col more than once"),
    ],
)
def test_one_line(convir, argv, message):
    run = convir(*argv)
    assert (run.status, run.out) == (2, "")
    assert run.err.startswith("convir: error: ")
    assert message in run.err
    assert run.err.count("\n") == 1
    assert "trace(model" not in run.err


def test_functions_of_any_number_of_inputs(convir, folder):
    (folder / "many.py").write_text(
        "def total(x, *rest):\n    return sum(rest, x)\n\n\ndef some(x, y=None):\n    return x\n"
    )
    assert convir("trace", "many.py:total", *["--input", "2"] * 3).status == 0
    assert convir("trace", "many.py:some", "--input", "2").status == 0
    message = convir("trace", "many.py:some", *["--input", "2"] * 3).err
    assert "takes 2 inputs (x, y): give --input 1 to 2 times, got 3 times" in message


def test_help_says_that_options_repeat(convir):
    text = " ".join(convir("compile", "--help").out.split())
    assert "NODE=NAME for one of them, repeated for several" in text
    assert "repeated for each input" in text


def test_a_file_that_cannot_be_read(convir, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    run = convir("trace", "nets.py:add", "--input", "2")
    assert (run.status, run.err) == (2, "convir: error: cannot read nets.py: Permission denied\n")


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/p.png", "there is no folder no"), ("p.jpg", "the suffix must be one of"), ("folder.svg", "Is a directory")],
)
def test_the_plot_is_checked_before_anything_is_measured(convir, folder, path, message):
    pytest.importorskip("matplotlib")
    (folder / "folder.svg").mkdir()
    run = convir("compare", "nets.py:graph", "--plot", path)
    assert run.status == 2
    assert message in run.err
    assert "comparing" not in run.err


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/p.html", "there is no folder no"), ("p.pdf", "the suffix must be"), ("folder.html", "Is a directory")],
)
def test_the_page_is_checked_before_anything_is_measured(convir, folder, path, message):
    (folder / "folder.html").mkdir()
    run = convir("compare", "nets.py:graph", "--html", path)
    assert run.status == 2
    assert message in run.err
    assert "comparing" not in run.err


def test_weights_that_cannot_be_saved_are_not_trained(convir, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    assert "no/w.npz: No such file or directory" in convir("train", "mlp", "--save", "no/w.npz").err


@pytest.mark.parametrize("batches", [0, 3])
@pytest.mark.parametrize("save", [["--save", "w.npz"], []])
def test_an_interrupt_keeps_the_weights_so_far(convir, folder, monkeypatch, batches, save):
    whole = data.Dataset.batches

    def interrupted(self, *args, **options):
        for index, batch in enumerate(whole(self, *args, **options)):
            if index == batches:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(data.Dataset, "batches", interrupted)
    run = convir("train", "mlp", "--epochs", "1", *save)
    said = "the weights so far are in w.npz" if batches else "nothing was trained yet, and w.npz not written"
    assert run == (130, "", f"convir: interrupted; {said}\n" if save else "convir: interrupted\n")
    assert (folder / "w.npz").exists() == bool(save and batches)
    if save and batches:
        model = training.load(zoo.mlp(), folder / "w.npz")
        assert all(np.isfinite(array).all() for array in model.state_dict().values())


def test_nothing_to_lower(convir):
    run = convir("compare", "mlp", "--repeats", "1")
    assert "There is no convolution to lower" in run.out
    assert "as fast as" not in run.out
    assert "best" not in run.out
    data = json.loads(convir("compare", "mlp", "--repeats", "1", "--json").out)
    assert (data["lowerings"], data["left_out"]) == (["im2col"], [])
