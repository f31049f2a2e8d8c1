"""Traced by mistake: functions that make a model."""

import pytest

from convir import nn, trace, zoo
from convir.ir import TraceError


def sized(width):
    return nn.Sequential(nn.Linear(width, 3))


def unsized(width):
    return nn.ReLU()


def without_arguments():
    return nn.ReLU()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (zoo.lenet5, r"^lenet5 \(lenet\.py:\d+\): .*Linear \(lenet\.py.*lenet5 is a function .* call it: lenet5\(\)$"),
        (
            sized,
            r"^sized \(test_factories\.py:\d+\): gives its argument, a traced tensor, .* call it: sized\(\.\.\.\)$",
        ),
        (
            unsized,
            r"^unsized .*: returned ReLU; unsized is a function that returns a model, call it: unsized\(\.\.\.\)$",
        ),
        (without_arguments, r"takes no inputs, got 1 spec; if without_arguments is .* call it: without_arguments\(\)$"),
    ],
)
def test_a_function_that_makes_a_model(function, message):
    with pytest.raises(TraceError, match=message):
        trace(function, (1, 1, 28, 28))


def test_a_layer_that_a_model_makes_of_a_tensor_keeps_its_error():
    class Net(nn.Module):
        def forward(self, x):
            return nn.Linear(x, 3)(x)

    with pytest.raises(TraceError, match=r"^Linear \(test_factories\.py:\d+\): needs the tensor's value"):
        trace(Net(), (1, 3))
