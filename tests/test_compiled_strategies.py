"""Strategies in a compiled net: in tiles and lanes, with other batches, live parameters, and folded ones."""

from __future__ import annotations

import numpy as np
import pytest

import convir
from convir import nn
from convir.passes.lower_conv import im2col_tiled

SHAPE = (7, 3, 9, 10)


class Net(nn.Module):
    def __init__(self):
        self.plain = nn.Conv2d(3, 4, 3, padding=1)
        self.depth = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4)
        self.point = nn.Conv2d(8, 4, 1, stride=2)

    def forward(self, x):
        relu = nn.functional.relu
        return self.point(relu(self.depth(relu(self.plain(x)))))


NAMES = ("im2col", "toeplitz", "direct", "pointwise", "depthwise", "shift_gemm", "im2col_tiled", "fft")
CHOICES = dict(zip(NAMES, NAMES, strict=True))
CHOICES["each its own"] = {"depth": "depthwise", "point": "pointwise", "*": "shift_gemm"}
CHOICES["a small budget"] = im2col_tiled(500)


@pytest.fixture(scope="module")
def model():
    convir.manual_seed(0)
    net = Net()
    # Windows of nothing but zeros give the bias: were it 0, rounding would decide which gradient relu passes on.
    for layer in (net.plain, net.depth):
        layer.bias.data[...] = np.linspace(-0.3, 0.45, layer.bias.data.size)
    return net


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal(SHAPE, "float32")


def gradients(compiled, x):
    y = compiled(x)
    return y, compiled.backward(np.linspace(-1, 1, y.size, dtype="float32").reshape(y.shape))


def assert_same(found, expected) -> None:
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    for name, grad in expected[1].items():
        np.testing.assert_allclose(found[1][name], grad, atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
def test_tiles_and_other_batches(model, x, choice):
    reference = convir.compile(model, SHAPE, conv="naive")
    compiled = convir.compile(model, SHAPE, conv=choice, tile=3, threads=2)
    assert [tile.size for tile in compiled.division.tiles] == [3, 3, 1]
    for batch in (x, x[:2]):
        assert_same(gradients(compiled, batch), gradients(reference, batch))


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
def test_parameters_are_live_or_folded(model, x, choice):
    live = convir.compile(model, SHAPE, conv=choice)
    folded = convir.compile(model, SHAPE, conv=choice, inference=True)
    before = live(x)
    np.testing.assert_allclose(folded(x), before, atol=1e-5)
    for parameter in (model.plain.weight, model.depth.weight, model.point.weight, model.depth.bias):
        parameter.data[...] *= -2
    try:
        assert_same(gradients(live, x), gradients(convir.compile(model, SHAPE, conv="naive"), x))
        np.testing.assert_allclose(folded(x), before, atol=1e-5)
    finally:
        for parameter in (model.plain.weight, model.depth.weight, model.point.weight, model.depth.bias):
            parameter.data[...] /= -2
