"""Errors that compiled loops cannot raise themselves."""

from __future__ import annotations

import numpy as np
import pytest

import convir
from convir import TensorType, nn

pytest.importorskip("numba")
F = nn.functional


def loss_and_more(x, target):
    """The loss is read early, and its memory would be free for what follows."""
    return ((x * 2).exp() * F.cross_entropy(x, target)).tanh()


@pytest.fixture
def compiled():
    return convir.compile(loss_and_more, (8, 3), TensorType((8,), "int64"), backend="numba", inference=True)


def test_a_class_that_there_is_not_is_named(compiled):
    target = np.zeros(8, np.int64)
    target[5] = 7
    with pytest.raises(convir.ExecutionError, match=r"cross_entropy: target holds class 7, .* 3 classes, 0 to 2"):
        compiled(np.ones((8, 3), "f"), target)


def test_nan_in_the_data_is_nan_in_the_result(compiled):
    x = np.ones((8, 3), "f")
    x[0] = np.nan
    assert np.isnan(compiled(x, np.zeros(8, np.int64))).all()
