"""What training does not take is refused before anything changes, with what to write instead."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convir import ConvirError, LoadError, TraceError, UnsupportedError, data, zoo
from convir.training import SGD, Adam, Step, fit, load

DIGITS = data.Dataset(data.digits().inputs[:8], data.digits().targets[:8])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "adam"}, UnsupportedError, r"one such as training.Adam\(lr=1e-3\) or .*; got 'adam'"),
        ({"optimizer": Adam}, UnsupportedError, "got the class Adam; make an instance of it"),
        ({"optimizer": 3}, UnsupportedError, "got int"),
        ({"generator": 3}, ConvirError, r"must be a numpy.random.Generator, such as np.random.default_rng\(3\), got 3"),
        ({"loss": lambda y: y}, TraceError, r"two arguments, \(output, target\), .*; <lambda> takes \(y\)"),
        ({"loss": lambda y, t, w: y}, TraceError, r"<lambda> takes \(y, t, w\)"),
        ({"loss": lambda y, *, t: y}, TraceError, r"<lambda> takes \(y, \*, t\)"),
        ({"loss": 3}, UnsupportedError, "unknown loss 3"),
        ({"loss": ["mse"]}, UnsupportedError, r"unknown loss \['mse'\]"),
    ],
)
def test_arguments_of_fit(options, error, message):
    model = zoo.mlp()
    before = model.state_dict()
    with pytest.raises(error, match=message):
        fit(model, DIGITS, **options)
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


def test_what_pytorch_brings_is_named():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    with pytest.raises(UnsupportedError, match="got PyTorch's Adam; convir's have the same equations"):
        fit(zoo.mlp(), DIGITS, optimizer=optimizer)
    with pytest.raises(UnsupportedError, match="CrossEntropyLoss is a PyTorch loss; take 'cross_entropy', 'mse'"):
        fit(zoo.mlp(), DIGITS, loss=torch.nn.CrossEntropyLoss())


def test_a_loss_may_take_more_where_it_need_not():
    def weighted(output, target, weight=2.0):
        return ((output - output.mean()) ** 2).mean() * weight

    assert len(fit(zoo.mlp(), DIGITS, loss=weighted, epochs=1).epochs) == 1


def test_a_step_takes_an_optimizer_only():
    with pytest.raises(UnsupportedError, match="the class SGD"):
        Step(zoo.mlp(), "mse", SGD, (2, 1, 8, 8), (2, 10))


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, "x"), "ab", None, (0.9, 1.0)])
def test_betas(betas):
    with pytest.raises(ConvirError, match=r"Adam: betas are two numbers in \[0, 1\), got "):
        Adam(betas=betas)


def test_generators_of_the_data():
    with pytest.raises(ConvirError, match=r"generator must be a numpy\.random\.Generator"):
        DIGITS.split(0.5, generator=3)
    with pytest.raises(ConvirError, match=r"generator must be a numpy\.random\.Generator"):
        list(DIGITS.batches(2, shuffle=True, generator=np.random.RandomState(0)))


def test_the_loss_that_a_message_recommends_works():
    images = data.Dataset(DIGITS.inputs, np.zeros((8, 10), np.float32))
    with pytest.raises(ConvirError, match="a loss returns one number") as caught:
        fit(zoo.mlp(), images, loss=lambda output, target: output - target)
    recommended = re.search("such as (.*);", str(caught.value)).group(1)
    fit(zoo.mlp(), images, loss=eval(f"lambda output, target: {recommended}"), epochs=1)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_weights_says_nothing_of_pickles(tmp_path, content):
    (tmp_path / "junk.npz").write_bytes(content)
    with pytest.raises(LoadError) as caught:
        load(zoo.mlp(), tmp_path / "junk.npz")
    assert str(caught.value).endswith(
        "junk.npz: is not a file of weights that convir.training.save wrote, or it is damaged"
    )
