"""What would need a value is refused with the user's line and what to write instead."""

import inspect

import numpy as np
import pytest

from convir.frontend import nn, trace
from convir.ir import TraceError

SHAPE = (2, 3)
ONES = np.ones(3, "float32")


def assign(x):
    x[0] = 1
    return x


def delete(x):
    del x[0]
    return x


def into_array(x):
    array = ONES.copy()
    array += x
    return array


@pytest.mark.parametrize(
    ("function", "what", "advice"),
    [
        (lambda x: x if x else -x, "bool(x)", "branch on x.shape"),
        (lambda x: x if x.sum() > 0 else -x, "x > y", "branch on x.shape"),
        (lambda x: x < 1, "x < y", "relu(x - t)"),
        (lambda x: x >= 1, "x >= y", "relu(x - t)"),
        (lambda x: x <= 1, "x <= y", "relu(x - t)"),
        (lambda x: x == 1, "x == y", "relu(x - t)"),
        (lambda x: x != 1, "x == y", "relu(x - t)"),
        (lambda x: x > ONES, "x > y", "branch on x.shape"),
        (lambda x: 1 in x, "y in x", "branch on x.shape"),
        (lambda x: not x, "bool(x)", "branch on x.shape"),
        (lambda x: float(x), "float(x)", "keep it a tensor"),
        (lambda x: int(x), "int(x)", "keep it a tensor"),
        (lambda x: range(x), "int(x)", "keep it a tensor"),
        (lambda x: x.reshape(x, 1), "int(x)", "keep it a tensor"),
        (lambda x: complex(x), "complex(x)", "keep it a tensor"),
        (lambda x: round(x), "round(x)", "keep it a tensor"),
        (lambda x: x.sum().item(), "x.item()", "return it from forward"),
        (lambda x: x.tolist(), "x.tolist()", "return it from forward"),
        (lambda x: x.numpy(), "x.numpy()", "use the tensor's own methods"),
        (lambda x: np.asarray(x), "np.asarray(x)", "convir.compile(model, shape)(x)"),
        (lambda x: np.array([x, x]), "np.asarray(x)", "use the tensor's own methods"),
        (lambda x: np.exp(x), "np.exp(x)", "write x.exp()"),
        (lambda x: np.maximum(x, 0), "np.maximum(x)", "write nn.functional.relu(x)"),
        (lambda x: np.arctan(x), "np.arctan(x)", "use the tensor's own methods"),
        (lambda x: np.add.reduce(x), "np.add(x)", "use the tensor's own methods"),
        (lambda x: np.sum(x), "np.sum(x)", "write x.sum(dim)"),
        (lambda x: np.concatenate([x, x]), "np.concatenate(x)", "use the tensor's own methods"),
        (lambda x: np.equal(x, ONES), "np.equal(x)", "use the tensor's own methods"),
        (into_array, "np.add into an array", "compute a new one"),
        (lambda x: list(x), "iterating over x", "range(x.shape[0])"),
        (lambda x: x[0], "x[...]", "use reshape"),
        (lambda x: x[:, 1:], "x[...]", "slice the array before"),
        (assign, "x[...] = y", "compute a new one"),
        (delete, "del x[...]", "compute a new one"),
    ],
)  # fmt: skip
def test_refusal(function, what, advice):
    with pytest.raises(TraceError) as caught:
        trace(function, SHAPE)
    first = inspect.getsourcelines(function)[1]
    lines = range(first, first + 3)
    place, _, message = str(caught.value).partition("): ")
    assert place in [f"{what} (test_refusals.py:{line}" for line in lines]
    assert advice in message


def test_unpacking_explains_that_max_has_no_indices():
    def function(x):
        values, _ = x.max(1)
        return values

    with pytest.raises(TraceError, match="there is nothing to unpack"):
        trace(function, SHAPE)


def test_the_place_names_the_module():
    class Gate(nn.Module):
        def forward(self, x):
            return x if x.mean() > 0.5 else -x

    with pytest.raises(TraceError, match=r"^x > y at 1 \(test_refusals.py:\d+\): "):
        trace(nn.Sequential(nn.ReLU(), Gate()), SHAPE)


def test_no_length_without_dimensions():
    with pytest.raises(TraceError, match=r"len\(x\).*has no length"):
        trace(lambda x: len(x.sum()), SHAPE)


def test_a_tensor_can_be_a_key():
    def function(x):
        y = -x
        return {x: 1, y: 2} and {"first": y}

    assert str(trace(function, SHAPE).outputs[0]) == "neg: f32[2,3]"
