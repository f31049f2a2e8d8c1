"""Models whose batch can be divided in every way there is, and data for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest

import convir
from convir import TensorType, nn

F = nn.functional


class Features(nn.Module):
    """Convolution, pooling and a linear layer: (N, 2, 6, 5) -> (N, 3)."""

    def __init__(self):
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 3 * 2, 3)

    def forward(self, x):
        return self.fc(self.pool(F.relu(self.conv(x))).flatten(1))


class WithMeanLoss(Features):
    def forward(self, x, target):
        return F.cross_entropy(super().forward(x), target)


class WithSumLoss(Features):
    def forward(self, x, target):
        y = super().forward(x)
        return (y * y).sum() + y.sum()


class WithSeveralOutputs(Features):
    """Logits, a mean, a sum, and something that is the same for every sample."""

    def forward(self, x, target):
        y = super().forward(x)
        return y, F.cross_entropy(y, target), y.sum(), (self.fc.weight * self.fc.weight).sum()


class WithWholeInput(Features):
    """``scale`` has a number for each class, not for each sample."""

    def forward(self, x, scale):
        return super().forward(x) * scale


@dataclass(frozen=True)
class Case:
    """A model, the types of its inputs for a batch, and data."""

    model: Callable[[], nn.Module]
    types: Callable[[int], Sequence[TensorType]]

    def arrays(self, batch: int, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [
            np.asarray(rng.standard_normal(t.shape), t.dtype) if t.is_float else rng.integers(0, 3, t.shape)
            for t in self.types(batch)
        ]

    def compile(self, batch: int, **options: object) -> convir.Compiled:
        """With the same parameters every time."""
        convir.manual_seed(0)
        return convir.compile(self.model(), *self.types(batch), **options)


def image(batch: int) -> TensorType:
    return TensorType((batch, 2, 6, 5))


def with_target(batch: int) -> list[TensorType]:
    return [image(batch), TensorType((batch,), "int64")]


CASES = {
    "features": Case(Features, lambda batch: [image(batch)]),
    "mean loss": Case(WithMeanLoss, with_target),
    "sum loss": Case(WithSumLoss, with_target),
    "several outputs": Case(WithSeveralOutputs, with_target),
    "whole input": Case(WithWholeInput, lambda batch: [image(batch), TensorType((1, 3))]),
}

on_every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())

_needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="no Numba")
on_every_backend = pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=_needs_numba)])
#: For tests that compile for each of many models.
on_every_backend_slowly = pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("numba", marks=[_needs_numba, pytest.mark.slow])]
)


def outputs(result: object) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


def run(compiled: convir.Compiled, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Results and, where there is a backward, gradients for cotangents that tell the outputs apart."""
    found = outputs(compiled(*arrays))
    named = {f"output {place}": array for place, array in enumerate(found)}
    if compiled.backward_graph is not None:
        rng = np.random.default_rng(5)
        cotangents = [np.asarray(rng.standard_normal(each.shape), each.dtype) for each in found]
        named |= compiled.backward(*cotangents)
    return named


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], rtol: float = 2e-5) -> None:
    """Equal, relative to the largest element of each array."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        scale = float(np.abs(array).max()) or 1.0
        np.testing.assert_allclose(found[name], array, rtol=0, atol=rtol * scale, err_msg=name)


def assert_identical(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Equal bit for bit."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name
