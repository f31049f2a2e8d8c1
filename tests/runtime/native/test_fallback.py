"""A function that cannot be compiled: its nodes run on NumPy, and the user is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("numba")

from support.compiled_nets import X, draw

import convir
from convir import nn
from convir.runtime.native import compiler


class Net(nn.Module):
    def __init__(self):
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


@pytest.fixture
def failing(monkeypatch):
    """Makes the compiler fail on functions whose name has a part."""

    def fail(part):
        real = compiler._compiled

        def compiled(job):
            if part in job.name:
                raise NotImplementedError(f"no {job.name}\nand more")
            return real(job)

        monkeypatch.setattr(compiler, "_compiled", compiled)

    return fail


def run(backend):
    convir.manual_seed(0)
    compiled = convir.compile(Net(), X.shape, backend=backend, conv="direct", tile=2)
    y = compiled(X)
    return compiled, y, compiled.backward(draw(*y.shape))


@pytest.mark.parametrize("part", ["matmul", "loops"])
def test_results_are_those_of_numpy(failing, part):
    failing(part)
    _, expected, expected_gradients = run("numpy")
    with pytest.warns(convir.ConvirWarning):
        compiled, y, gradients = run("numba")
    assert compiled.build.failed
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    for name, gradient in expected_gradients.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-5, atol=1e-6)


def test_the_warning_says_what_where_and_why_once_for_each_node(failing):
    failing("matmul_loops")
    with pytest.warns(convir.ConvirWarning) as caught:
        compiled = convir.compile(Net(), X.shape, backend="numba", inference=True)
    (warning,) = caught
    message = str(warning.message)
    assert "matmul at fc (" in message
    assert "test_fallback.py:" in message
    assert message.endswith(
        "runs on NumPy, slower, because it could not be compiled: NotImplementedError: no matmul_loops"
    )
    assert [step.by_numpy for step in compiled.executable.halves[0]].count(True) == 1
    node = next(node for node in compiled.graph.nodes if node.op.name == "matmul")
    with pytest.raises(convir.UnsupportedError, match="its loops could not be compiled: NotImplementedError"):
        compiled.source(node)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(X)


def test_scratch_of_loops_and_of_numpy_differ(failing):
    failing("cross_entropy")
    logits, target = draw(5, 3), np.array([0, 2, 1, 1, 0])
    specs = (logits.shape, convir.TensorType(target.shape, "int64"))
    with pytest.warns(convir.ConvirWarning):
        compiled = convir.compile(nn.functional.cross_entropy, *specs, backend="numba")
    node = next(node for node in compiled.graph.nodes if node.op.name == "cross_entropy")
    scratch = [
        compiled.program.kernels.scratch(node),
        convir.compile(compiled.program.model).program.kernels.scratch(node),
    ]
    assert scratch[0] != scratch[1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(compiled(logits, target), -np.log(shares[np.arange(5), target]).mean(), rtol=1e-6)
    (gradient,) = compiled.backward().values()
    np.testing.assert_allclose(gradient, (shares - np.eye(3)[target]) / 5, rtol=1e-4, atol=1e-7)
