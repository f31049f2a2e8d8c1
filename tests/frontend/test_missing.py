"""Names and arguments that PyTorch has and convir has not: what the error says, and that hasattr works."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import convir
import convir.nn as nn
import convir.nn.functional as F
from convir import ConvirError, DTypeError, UnsupportedError, trace
from convir.frontend import nn as frontend_nn

MODULES = ("functional", "init")


def test_convir_nn_is_a_module_with_the_frontends_classes():
    assert nn is convir.nn
    assert nn is sys.modules["convir.nn"]
    assert nn.functional is F
    assert nn.init is sys.modules["convir.nn.init"]
    for ours, theirs in [(nn, frontend_nn), (F, frontend_nn.functional), (nn.init, frontend_nn.init)]:
        assert ours.__all__ == theirs.__all__
        assert all(getattr(ours, name) is getattr(theirs, name) for name in ours.__all__ if name not in MODULES)


def test_every_function_is_offered():
    helpers = {"window", "probability"}
    for module in (frontend_nn.functional, frontend_nn.init):
        made_here = {name for name, item in inspect.getmembers(module, inspect.isfunction)
                     if item.__module__ == module.__name__ and not name.startswith("_")}  # fmt: skip
        assert made_here - helpers == set(module.__all__)


@pytest.mark.parametrize("line", ["import convir.nn.functional as F", "from convir.nn import Conv2d, functional as F",
                                  "from convir.nn.init import zeros_"])  # fmt: skip
def test_convir_nn_can_be_the_first_import(line):
    subprocess.run([sys.executable, "-W", "error", "-c", line], check=True)


def method(name):
    return lambda x: getattr(x, name)(1)


@pytest.mark.parametrize(
    ("use", "where", "advice"),
    [
        (lambda: nn.BatchNorm2d(3), "nn.BatchNorm2d", "fold a trained one into the convolution"),
        (lambda: nn.AdaptiveAvgPool2d(1), "nn.AdaptiveAvgPool2d", "x.mean((2, 3), keepdim=True)"),
        (lambda: nn.LeakyReLU(), "nn.LeakyReLU", "x.relu() - slope * (-x).relu()"),
        (lambda: nn.Conv3d(1, 1, 1), "nn.Conv3d", "did you mean Conv2d?; nn has AvgPool2d, Conv2d, Dropout"),
        (lambda: frontend_nn.GELU(), "nn.GELU", "nn has AvgPool2d"),
        (lambda: F.softmax(1), "nn.functional.softmax", "cross_entropy takes logits"),
        (lambda: F.leaky_relu(1), "nn.functional.leaky_relu", "x.relu() - slope"),
        (lambda: F.adaptive_avg_pool2d(1), "nn.functional.adaptive_avg_pool2d", "avg_pool2d for more"),
        (lambda: nn.init.kaiming_uniform_(1), "nn.init.kaiming_uniform_", "did you mean kaiming_normal_?"),
        (lambda: trace(method("softmax"), (2, 3)), "x.softmax", "keepdim=True"),
        (lambda: trace(method("var"), (2, 3)), "x.var", "divides by n"),
        (lambda: trace(method("std"), (2, 3)), "x.std", ".sqrt()"),
        (lambda: trace(method("min"), (2, 3)), "x.min", "-(-x).amax(dim)"),
        (lambda: trace(method("clamp"), (2, 3)), "x.clamp", "(x - low).relu() + low"),
        (lambda: trace(method("detach"), (2, 3)), "x.detach", "return the tensor from forward"),
        (lambda: trace(method("abs"), (2, 3)), "x.abs", "x.relu() + (-x).relu()"),
        (lambda: trace(lambda x: abs(x), (2, 3)), "x.abs", "x.relu() + (-x).relu()"),
        (lambda: trace(method("pow"), (2, 3)), "x.pow", "x ** 2"),
        (lambda: trace(method("sigmoide"), (2, 3)), "x.sigmoide", "did you mean sigmoid?; x has T, amax, "),
        (lambda: nn.Parameter([1.0]).grad, "x.grad", "compiled.backward(dy) returns the gradients"),
        (lambda: nn.Linear(1, 1).cuda(), "Linear.cuda", "leave the device out"),
        (lambda: nn.Linear(1, 1).cpu(), "Linear.cpu", "leave the device out"),
        (lambda: nn.Linear(1, 1).half(), "Linear.half", "float32 or float64"),
        (lambda: nn.Linear(1, 1).zero_grad(), "Linear.zero_grad", "returns new gradients"),
        (lambda: nn.Linear(1, 1).register_buffer("a", 1), "Linear.register_buffer", "an array in an attribute"),
    ],
)  # fmt: skip
def test_names_that_are_not_there(use, where, advice):
    with pytest.raises(ConvirError) as caught:
        use()
    assert isinstance(caught.value, AttributeError)
    assert re.match(re.escape(where) + r" \(test_missing\.py:\d+\): is not in convir", str(caught.value))
    assert advice in str(caught.value)


def test_what_is_advised_is_right():
    x = np.random.default_rng(0).standard_normal((4, 5))

    def function(x):
        e = (x - x.max(1, keepdim=True)).exp()
        low, high, slope = -0.5, 0.5, 0.1
        clamped = high - (high - ((x - low).relu() + low)).relu()
        variance = ((x - x.mean(1, keepdim=True)) ** 2).mean(1)
        leaky = x.relu() - slope * (-x).relu()
        return x.relu() + (-x).relu(), leaky, -(-x).amax(1), e / e.sum(1, keepdim=True), clamped, variance

    compiled = convir.compile(function, convir.TensorType((4, 5), "float64"))
    e = np.exp(x)
    expected = [abs(x), np.where(x > 0, x, 0.1 * x), x.min(1), e / e.sum(1, keepdims=True), x.clip(-0.5, 0.5), x.var(1)]
    for result, right in zip(compiled(x), expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-12, atol=1e-15)


def test_hasattr_and_getattr_work():
    assert not hasattr(nn, "BatchNorm2d")
    assert not hasattr(nn.Linear(1, 1), "cuda")
    assert getattr(F, "softmax", None) is None
    assert not hasattr(nn.Parameter([1.0]), "_repr_html_")
    trace(lambda x: x if hasattr(x, "softmax") else x.relu(), (2,))


def test_a_modules_own_attribute_errors_are_pythons():
    class Net(nn.Module):
        @property
        def width(self):
            return self.no_such_thing

    with pytest.raises(AttributeError, match=r"^'Net' object has no attribute 'no_such_thing'$"):
        _ = Net().width


@pytest.mark.parametrize(
    ("use", "where"),
    [
        (lambda: nn.Conv2d(1, 1, 1, device="cuda"), "Conv2d"),
        (lambda: nn.Linear(1, 1, device="cpu"), "Linear"),
        (lambda: nn.Linear(1, 1).to("cuda"), "Linear.to"),
        (lambda: nn.ReLU().to("cuda:0"), "ReLU.to"),
        (lambda: nn.Linear(1, 1).to(device="cuda"), "Linear.to"),
        (lambda: nn.Parameter([1.0]).to("cuda"), "Parameter.to"),
    ],
)
def test_there_are_no_devices(use, where):
    with pytest.raises(UnsupportedError, match=rf"^{where} \(test_missing\.py:\d+\): there is no device to choose"):
        use()


def test_no_device_is_fine():
    assert nn.Conv2d(1, 1, 1, device=None, dtype="float64").weight.dtype == "float64"
    assert nn.Linear(1, 1, True, None, "float64").weight.dtype == "float64"


class TorchType:
    """Looks like ``torch.float64``: a representation and no name."""

    def __init__(self, name):
        self.text = name

    def __repr__(self):
        return self.text


def test_pytorchs_element_types():
    double = TorchType("torch.float64")
    assert nn.Linear(1, 1).to(double).weight.dtype == "float64"
    assert nn.Linear(1, 1, dtype=double).weight.dtype == "float64"
    assert convir.TensorType((2,), TorchType("torch.int64")).dtype == "int64"
    with pytest.raises(DTypeError, match="unknown element type 'float16'; convir has float32"):
        nn.Linear(1, 1).to(TorchType("torch.float16"))


def test_real_pytorch_element_types_and_devices():
    torch = pytest.importorskip("torch")
    assert nn.Linear(1, 1).to(torch.float64).weight.dtype == "float64"
    assert nn.Parameter(torch.ones(2)).type.dtype == "float32"
    with pytest.raises(UnsupportedError, match="got 'cuda:0'"):
        nn.Linear(1, 1).to(torch.device("cuda:0"))


@pytest.mark.parametrize("data", ["a", None, [[1], [2, 3]], object(), {}])
def test_a_parameter_is_made_of_numbers(data):
    message = r"^Parameter \(test_missing\.py:\d+\): a parameter is made of an array or numbers, got "
    with pytest.raises(DTypeError, match=message + re.escape(repr(data))):
        nn.Parameter(data)
