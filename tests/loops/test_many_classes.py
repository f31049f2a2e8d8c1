"""Classes are compared as floating-point numbers, so loops are for as many as those can tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from support.generated import program_of

import convir
from convir import TensorType, nn
from convir.ir import ops

#: The first integer that float32 lacks is one more.
EXACT = 2**24


def types_of(classes: int, axis: int, dtype: str) -> list[TensorType]:
    return [TensorType((2, classes) if axis == 1 else (classes, 2), dtype), TensorType((2,), "int64")]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("classes", "dtype", "has_loops"),
    [(10, "float32", True), (EXACT, "float32", True), (EXACT + 1, "float32", False), (EXACT + 1, "float64", True)],
)
def test_there_are_loops_where_no_two_classes_are_the_same_number(classes, axis, dtype, has_loops):
    types = types_of(classes, axis, dtype)
    assert (program_of(ops.CrossEntropy(axis), types) is not None) == has_loops
    grad = [TensorType((), dtype), *types]
    assert (program_of(ops.CrossEntropyGrad(axis), grad) is not None) == has_loops


@pytest.mark.slow
@pytest.mark.parametrize("target", [EXACT - 1, EXACT, EXACT + 1])
def test_the_loss_is_that_of_the_right_class(target):
    """Float32 has one number for the classes 2**24 and 2**24 + 1."""
    pytest.importorskip("numba")
    logits = np.zeros((1, EXACT + 2), "float32")
    logits[0, [EXACT - 1, EXACT, EXACT + 1]] = 3, 5, 7
    compiled = convir.compile(
        nn.functional.cross_entropy, logits.shape, TensorType((1,), "int64"), backend="numba", wrt=["input"]
    )
    loss = compiled(logits, np.array([target]))
    assert loss == pytest.approx(np.log(np.exp(logits[0].astype("float64")).sum()) - logits[0, target], rel=1e-5)
    gradient = compiled.backward()["input"]
    assert np.flatnonzero(gradient < 0).tolist() == [target]
