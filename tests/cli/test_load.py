"""What MODEL may be, and what is said of anything else."""

from __future__ import annotations

import sys

import pytest

from convir.cli.load import load_model
from convir.frontend import nn
from convir.ir import Graph, LoadError

pytestmark = pytest.mark.usefixtures("convir")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nets.py:Net", nn.Module),
        ("./nets.py:net", nn.Module),
        ("nets.py:make", nn.Module),
        ("nets.py:space.inner", nn.Module),
        ("nets.py:graph", Graph),
        ("convir.zoo:lenet5", nn.Module),
        ("convir.zoo.lenet:LeNet5", nn.Module),
    ],
)
def test_models(text, kind):
    loaded = load_model(text)
    assert isinstance(loaded.model, kind)
    assert loaded.input_shapes == ()


def test_the_zoo_knows_its_input_shapes():
    assert load_model("lenet5").input_shapes == ((1, 1, 28, 28),)


def test_a_function_with_arguments_is_traced_and_not_called():
    assert load_model("nets.py:add").model.__name__ == "add"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenet", "there is no model 'lenet'; the zoo has lenet5, digits_cnn, mlp. Did you mean lenet5?"),
        ("resnet", "the zoo has lenet5, digits_cnn, mlp; for a model of your own write path.py:object"),
        ("nets.py", "name the object in the file: nets.py:Net"),
        ("nets.py:", "write path.py:object or package.module:object"),
        (":Net", "write path.py:object or package.module:object"),
        ("none.py:Net", "there is no file none.py"),
        ("../:Net", "is a folder"),
        ("nets.py:Nett", "nets.py has no 'Nett'; it has Net, NeedsArguments, Raises, .*Did you mean Net?"),
        ("nets.py:space.outer", "nets.py has no 'space.outer'"),
        ("nets.py:number", "nets.py:number is of type int; a model is an nn.Module, a graph or a function"),
        ("nets.py:Other", "nets.py:Other is a class, but no nn.Module"),
        ("nets.py:nothing", r"nets.py:nothing\(\) returned None; a function without arguments must return"),
        ("nets.py:NeedsArguments", r"needs arguments \(channels\)"),
        ("nets.py:Fails", r"cannot make nets.py:Fails: ValueError: two; lines \(nets.py:\d+\)$"),
        ("no.such.thing:Net", "there is no Python module 'no'"),
        ("convir.nothing:Net", "there is no Python module 'convir.nothing'"),
        ("convir.zoo:LeNet", "convir.zoo has no 'LeNet'; it has .*LeNet5.*Did you mean LeNet5?"),
    ],
)
def test_messages(text, message):
    with pytest.raises(LoadError, match=message) as raised:
        load_model(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import os\n1 / 0\n", r"cannot import broken.py: ZeroDivisionError: division by zero \(broken.py:2\)$"),
        ("x = 1\ndef f(:\n", r"cannot import broken.py: SyntaxError: .* \(broken.py:2\)$"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(broken.py:1\)$"),
        ("import no_such_thing\n", r"ModuleNotFoundError: No module named 'no_such_thing' \(broken.py:1\)$"),
        ("\n\nimport json\njson.loads('{')\n", r"JSONDecodeError: .* \(broken.py:4\)$"),
        ("from convir import nn\nnn.Conv2d(1, 2, 3, stride=0)\n", r"ShapeError: .*stride"),
        ("x = 1\n", "broken.py has no 'Net'; it defines no model$"),
    ],
)
def test_a_file_that_fails(folder, content, message):
    (folder / "broken.py").write_text(content)
    with pytest.raises(LoadError, match=message):
        load_model("broken.py:Net")
    assert ("convir_user_broken" in sys.modules) == (content == "x = 1\n")
    sys.modules.pop("convir_user_broken", None)


def test_a_package_that_fails(folder):
    (folder / "broken_package.py").write_text("raise RuntimeError('no')\n")
    with pytest.raises(LoadError, match=r"cannot import broken_package: RuntimeError: no \(broken_package.py:1\)"):
        load_model("broken_package:Net")


def test_the_folder_is_importable_only_meanwhile(folder):
    inner = folder / "models"
    inner.mkdir()
    (inner / "helper_of_net.py").write_text("from convir import nn\nNet = nn.ReLU\n")
    (inner / "mine.py").write_text(
        "import helper_of_net\n\n\ndef make():\n    import second_helper\n    return helper_of_net.Net()\n"
    )
    (inner / "second_helper.py").write_text("")
    before = list(sys.path)
    assert isinstance(load_model("models/mine.py:make").model, nn.ReLU)
    assert sys.path == before
    with pytest.raises(LoadError):
        load_model("models/mine.py:other")
    assert sys.path == before


def test_the_current_folder_is_importable(folder):
    (folder / "my_package_of_nets.py").write_text("from convir import nn\nNet = nn.ReLU\n")
    assert isinstance(load_model("my_package_of_nets:Net").model, nn.ReLU)


def test_a_file_does_not_shadow_a_library(folder):
    (folder / "json.py").write_text("from convir import nn\nNet = nn.ReLU\n")
    before = sys.modules["json"]
    assert isinstance(load_model("json.py:Net").model, nn.ReLU)
    assert sys.modules["json"] is before
