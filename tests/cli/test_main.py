"""Exit statuses, one-line errors, pipes and interrupts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import convir as library
from convir.cli import main, parser


def usage_error(run) -> str:
    assert run.status == 2
    assert run.out == ""
    assert run.err.count("\n") == 1
    return run.err


@pytest.mark.parametrize("text", ["nan", "inf", "-1,3", "1,a", "1.5", "1e3", "0,3", "", "1,,2", "1_0", "-inf,1", "٣"])
def test_bad_shapes(convir, text):
    message = usage_error(convir("trace", "lenet5", "--input", text))
    assert message.startswith("convir trace: error: argument --input: ")
    assert "is not a positive integer; write a shape like 8,1,28,28" in message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["trace"], "the following arguments are required: MODEL"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["trace", "lenet5", "--bogus"], "unrecognized arguments: --bogus"),
        (["trace", "nets.py:add", "--input", "3:f32"], "unknown element type 'f32'; there are float32, float64"),
        (["trace", "lenet5", "--dtype", "int64"], "invalid choice: 'int64'"),
        (["compare", "lenet5", "--repeats", "-1"], "'-1' is not a positive integer"),
        (["compare", "lenet5", "--time-budget", "-.5"], "'-.5' is not a positive number"),
        (["compare", "lenet5", "--time-budget", "inf"], "'inf' is not a positive number"),
        (["train", "--lr", "nan"], "'nan' is not a positive number"),
        (["train", "--lr", "fast"], "'fast' is not a positive number"),
        (["train", "--seed", "-1"], "'-1' is not 0 or a positive integer"),
        *[
            ([command, "lenet5", option, value], f"argument {option}: {value!r} is not a positive integer")
            for command in ("compile", "profile", "train")
            for option in ("--threads", "--tile")
            for value in ("0", "-1", "x", "1.5", "٣")
        ],
        *[
            ([command, "lenet5", "--backend", "foo"], "invalid choice: 'foo'")
            for command in ("compile", "profile", "train")
        ],
    ],
)
def test_wrong_usage(convir, argv, message):
    assert message in usage_error(convir(*argv))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trace", "lenet"], "there is no model 'lenet'"),
        (["trace", "nets.py:Net"], "nets.py:Net needs the shape of each of its inputs: --input N,C,H,W"),
        (["trace", "nets.py:Net", "--input", "1,4,8,8"], "conv2d at conv (nets.py:13): input has 4 channels"),
        (["trace", "nets.py:graph", "--dtype", "float64"], "is a traced graph and has its element types"),
        (["trace", "nets.py:graph", "--input", "1", "--input", "1"], "takes 1 input (x): give --input once, got twice"),
        (["compile", "lenet5", "--conv", "magic"], "unknown lowering strategy 'magic' for conv2d"),
        (["compile", "lenet5", "--input", "99999999,1,28,28"], "GiB"),
        (["compare", "lenet5", "--lowerings", "magic"], "unknown lowering strategy 'magic'"),
        (["compare", "lenet5", "--lowerings", ","], "lowerings is empty"),
        (["render", "lenet5", "--out", "net.jpg"], "the suffix must be one of"),
        (["render", "lenet5", "--stage", "magic"], "there is no stage 'magic'"),
        (["trace", "missing.py:Net", "--input", "1"], "there is no file missing.py"),
        (["trace", "nets.py:Branches", "--input", "1,4"], "x > y (nets.py:28): needs the tensor's value"),
        (["profile", "lenet5", "--input", "1,1"], "conv2d at conv1 (lenet.py:45): input must have 4 dimensions"),
        (["train", "lenet5", "--save", "no/w.npz"], "no/w.npz: No such file or directory"),
        *[
            (
                [command, "nets.py:mixes", "--input", "6,3", "--tile", "2", "--backend", backend],
                "tile=2 asks for tiles, but div",
            )
            for command in ("compile", "profile")
            for backend in ("numpy", "auto")
        ],
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(convir, argv, message):
    run = convir(*argv)
    assert run.status == 2
    assert run.out == ""
    assert run.err.startswith("convir: error: ")
    assert message in run.err
    assert run.err.count("\n") == 1


def test_an_error_in_the_work_itself(convir):
    run = convir("trace", "nets.py:Raises", "--input", "1,4")
    assert run == (1, "", "convir: error: KeyError: 'no such layer' (nets.py:23)\n")


@pytest.mark.parametrize("error", [library.ExecutionError("diverged"), OSError(28, "No space left on device")])
def test_failing_at_it_is_no_wrong_usage(convir, monkeypatch, error):
    def fail(args):
        raise error

    monkeypatch.setitem(parser._COMMANDS, "trace", (fail, *parser._COMMANDS["trace"][1:]))
    assert convir("trace", "lenet5").status == 1


def test_traceback_on_request(convir):
    run = convir("trace", "lenet", "--traceback")
    assert run.status == 2
    assert run.err.startswith("Traceback (most recent call last):")
    assert "LoadError: there is no model 'lenet'" in run.err


def test_an_interrupt(convir, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(parser._COMMANDS, "trace", (interrupted, *parser._COMMANDS["trace"][1:]))
    assert convir("trace", "lenet5") == (130, "", "convir: interrupted\n")


def test_a_message_of_several_lines_becomes_one(convir, monkeypatch):
    def broken(args):
        raise library.VerifyError("first\n  second\n\nthird")

    monkeypatch.setitem(parser._COMMANDS, "trace", (broken, *parser._COMMANDS["trace"][1:]))
    assert convir("trace", "lenet5").err == "convir: error: first; second; third\n"


@pytest.mark.parametrize("command", ["", *parser._COMMANDS])
def test_help_has_examples_that_parse(convir, command):
    run = convir(*([command] if command else []), "--help")
    assert run.status == 0
    assert "examples:\n  convir " in run.out
    assert ("path.py:object" in run.out) == (command not in parser._WITHOUT_MODEL)
    for example in parser._EXAMPLES[command]:
        argv = example.split(">")[0].split()
        assert parser.make_parser().parse_args(parser.with_joined_values(argv)).run


def test_version(convir):
    assert convir("--version") == (0, f"convir {library.__version__}\n", "")


def test_every_command_has_examples():
    assert set(parser._EXAMPLES) == {"", *parser._COMMANDS}


def shell(*argv: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "convir", *argv], text=True, capture_output=True, timeout=120, check=False, **options
    )


def test_as_a_module():
    done = shell("trace", "mlp")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("graph mlp(x: f32[1,1,8,8])")
    assert shell("trace", "none").returncode == 2


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "convir", "trace", "lenet5"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_encoding_without_the_characters(tmp_path):
    (tmp_path / "nets.py").write_text("def größe(x):\n    return x + 1.0\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = shell("trace", "nets.py:größe", "--input", "2", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"gr\xf6\xdfe" in done.stdout
    assert shell("summary", "lenet5", env=environment).stdout.isascii()


def test_help_is_quick_to_import():
    heavy = "matplotlib", "networkx", "graphviz", "rich", "torch"
    code = f"import sys, convir.cli; convir.cli.main(['--help']); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_main_is_the_entry_point():
    assert main(["--version"]) == 0
