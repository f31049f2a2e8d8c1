"""Random operands: the same at every call, and valid whatever they stand for."""

import numpy as np
import pytest

from convir.ir import TensorType
from convir.selection.trial import numbers


@pytest.mark.parametrize("stream", [0, 3, -1])
def test_numbers_are_the_same_in_every_element_type(stream):
    single, double = (numbers(TensorType((50, 40), dtype), stream) for dtype in ("float32", "float64"))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(single, double)
    assert abs(double.mean()) < 0.1
    assert abs(double.std() - 1) < 0.1
    assert not np.array_equal(single, numbers(TensorType((50, 40), "float32"), stream + 1))


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_whole_numbers_are_valid_as_labels_and_flags(dtype):
    found = numbers(TensorType((100,), dtype), 0)
    assert found.dtype == dtype
    assert set(found.tolist()) == {0, 1}
