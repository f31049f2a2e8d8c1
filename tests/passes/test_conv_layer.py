"""A convolution by itself, and which are the same problem."""

import numpy as np
import pytest

import convir
from convir import nn
from convir.ir.ops import ConvOp
from convir.passes.differentiate import Differentiate
from convir.passes.lower_conv import STRATEGIES, ConvLayer, LowerConv
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW


def layers(model, shape, passes=()):
    graph = convir.trace(model, shape)
    for each in passes:
        graph = each(graph)
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, ConvOp):
            found.setdefault(node.origin, []).append(node)
    return [ConvLayer.of(nodes) for nodes in found.values()]


def test_layers_of_equal_shape_are_one_problem_whatever_their_weights_and_names():
    same = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
    first, second, third = layers(nn.Sequential(*same, nn.Conv2d(4, 4, 3)), (2, 4, 8, 8))
    assert first == second != third
    assert len({first, second, third}) == 2


def test_gradients_belong_to_the_problem():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    first, second = layers(model, (2, 3, 9, 9), [Differentiate(("0.weight", "1.weight"))])
    assert first.gradients == ("weight",)
    assert second.gradients == ("image", "weight")


@pytest.mark.parametrize("lowering", [each.name for each in STRATEGIES])
def test_alone_it_computes_the_convolution_without_changing_the_layout(lowering):
    convir.manual_seed(0)
    model = nn.Conv2d(4, 6, 3, padding=1)
    (layer,) = layers(model, (2, 4, 6, 6))
    if LowerConv(lowering).lowering(layer.alone()).refused:
        pytest.skip("refused")
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6), "float32")
    expected = convir.compile(model, x.shape, conv="naive")(x)
    alone = convir.compile(layer.alone({"weight": model.weight, "bias": model.bias}), conv=lowering, tile=99)
    result = alone(np.ascontiguousarray(x.transpose(1, 2, 3, 0)))
    np.testing.assert_allclose(result.transpose(3, 0, 1, 2), expected, rtol=1e-4, atol=1e-5)
    of_images = alone.graph.depends_on(["image"])
    layout_changes = [n for n in alone.graph.nodes if n.op in (TO_CHWN, TO_NCHW) and n.name in of_images]
    assert len(layout_changes) == (2 if lowering == "naive" else 0)
