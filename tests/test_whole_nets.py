"""Whole nets under every strategy, and under those who choose: the same outputs and gradients."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import convir
from convir import nn, zoo
from convir.passes.lower_conv import STRATEGIES

pytestmark = pytest.mark.slow


def vgg_style() -> nn.Module:
    """Pairs of 3x3 convolutions, each ended by a pooling, and two linear layers (Simonyan and Zisserman, 2015)."""
    layers: list[nn.Module] = []
    channels = 3
    for filters in (8, 16, 16):
        for _ in range(2):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 2 * 2, 24), nn.ReLU(), nn.Linear(24, 10))


NETS = {"lenet5": (zoo.lenet5, (6, 1, 28, 28)), "vgg style": (vgg_style, (6, 3, 16, 16))}
WAYS = [*(each.name for each in STRATEGIES), "auto", "measure"]


def results(net: str, **options):
    """The output and the gradients, in tiles of four and two images."""
    factory, shape = NETS[net]
    convir.manual_seed(0)
    rng = np.random.default_rng(0)
    compiled = convir.compile(factory().double(), convir.TensorType(shape, "float64"), tile=4, **options)
    y = compiled(rng.standard_normal(shape))
    return {"y": y, **compiled.backward(rng.standard_normal(y.shape))}


@cache
def reference(net: str):
    return results(net, conv="im2col")


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-9 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("conv", WAYS)
@pytest.mark.parametrize("net", NETS)
def test_a_whole_net_has_the_same_results(net, conv):
    assert_same(results(net, conv=conv), reference(net))


@pytest.mark.parametrize("conv", ["winograd_4x4", "auto"])
@pytest.mark.parametrize("net", NETS)
def test_a_whole_net_has_the_same_results_compiled(net, conv):
    pytest.importorskip("numba")
    assert_same(results(net, conv=conv, backend="numba"), reference(net))
