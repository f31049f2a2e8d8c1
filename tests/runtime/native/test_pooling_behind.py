"""Poolings behind what is not a convolution, and strides larger than the image: joined or not, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from support.pooled_nets import POOLED, PooledNet

import convir

pytest.importorskip("numba")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("case", POOLED)
def test_the_backends_agree(case, inference, batch):
    model = PooledNet(POOLED[case])
    x = np.random.default_rng(0).standard_normal((batch, 3, 12, 11)).astype("f")
    expected = convir.compile(model, x.shape, inference=inference)
    found = convir.compile(model, x.shape, inference=inference, backend="numba")
    y = expected(x)
    np.testing.assert_allclose(found(x), y, rtol=1e-4, atol=1e-5)
    if not inference:
        gradients = expected.backward(np.ones_like(y))
        for name, gradient in found.backward(np.ones_like(y)).items():
            np.testing.assert_allclose(gradient, gradients[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_long_chains_stay_small():
    def squared(x):
        for _ in range(12):
            x = x * x
        return x

    x = np.full((2, 3, 4, 5), 0.999, "f")
    compiled = convir.compile(squared, x.shape, inference=True, backend="numba")
    np.testing.assert_allclose(compiled(x), x.astype("f8") ** 4096, rtol=1e-3)
    assert len(compiled.source()) < 100_000
