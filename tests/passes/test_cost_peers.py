"""FLOPs are exactly those of PyTorch's FlopCounterMode, and parameters those of its modules."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.cost_nets import VGG16, lenet5, vgg16

from convir.ir import Builder, Graph, TensorType
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, MatMul
from convir.passes.differentiate import Differentiate
from convir.passes.estimate import estimate

torch = pytest.importorskip("torch")
flop_counter = pytest.importorskip("torch.utils.flop_counter")
nn = torch.nn


def torch_lenet5():
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def torch_vgg16():
    layers, channels = [], 3
    for layer in VGG16:
        layers += [nn.MaxPool2d(2)] if layer == "M" else [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU()]
        channels = channels if layer == "M" else layer
    classifier = [nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *classifier)


def counted(run) -> int:
    """FLOPs by PyTorch's counter; on the meta device, so nothing is computed."""
    with torch.device("meta"), flop_counter.FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def joint(graph: Graph) -> Graph:
    return Differentiate(tuple(value.name for value in (*graph.params, *graph.inputs)))(graph)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [(lenet5, torch_lenet5, (64, 1, 28, 28)), (vgg16, torch_vgg16, (2, 3, 224, 224))],
)
def test_networks_forward_and_backward(ours, theirs, shape):
    graph = ours(shape[0])
    with torch.device("meta"):
        module = theirs()
        x = torch.empty(shape, requires_grad=True)
    report = estimate(graph)
    assert report.flops == counted(lambda: module(x))
    assert report.parameters == sum(p.numel() for p in module.parameters())
    assert estimate(joint(graph)).flops == counted(lambda: module(x).sum().backward())


def test_a_linear_layer_with_middle_dimensions():
    builder = Builder("tokens")
    x = builder.input("x", TensorType((4, 7, 5)))
    y = builder.emit(MatMul(transpose_b=True), x, builder.param("w", TensorType((3, 5))))
    graph = builder.finish([y], {})
    with torch.device("meta"):
        layer, tokens = nn.Linear(5, 3, bias=False), torch.empty(4, 7, 5, requires_grad=True)
    assert estimate(graph).flops == counted(lambda: layer(tokens)) == 2 * 4 * 7 * 5 * 3
    assert estimate(joint(graph)).flops == counted(lambda: layer(tokens).sum().backward())


small = st.integers(1, 4)
pairs = st.tuples(small, small)


@st.composite
def convolutions(draw):
    """(op, image shape, weight shape): groups, depthwise, stride, padding and dilation drawn freely."""
    groups, per_group, multiplier, batch = draw(small), draw(small), draw(small), draw(small)
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    assume(all(s + 2 * p >= d * (k - 1) + 1 for s, p, d, k in zip(size, padding, dilation, kernel, strict=True)))
    op = Conv2d(stride, padding, dilation, groups)
    return op, (batch, groups * per_group, *size), (groups * multiplier, per_group, *kernel)


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_convolutions(case):
    op, image, weight = case
    builder = Builder("conv")
    x, w = builder.input("x", TensorType(image)), builder.param("w", TensorType(weight))
    y = builder.emit(op, x, w)
    window = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
    dw = builder.emit(Conv2dGradWeight(**window, kernel_size=weight[2:]), y, x)
    dx = builder.emit(Conv2dGradInput(**window, input_size=image[2:]), y, w)
    forward, grad_weight, grad_input = (row.flops for row in estimate(builder.finish([y, dw, dx], {})).rows)
    assert forward == counted(lambda: torch.conv2d(torch.empty(image), torch.empty(weight), **window))
    assert grad_input == counted(lambda: backward(op, image, weight, y.type.shape, [True, False, False]))
    # PyTorch's formula for the weight's gradient takes all input channels for each filter, not those of its group.
    theirs = counted(lambda: backward(op, image, weight, y.type.shape, [False, True, False]))
    assert theirs == grad_weight * op.groups


def backward(op: Conv2d, image, weight, result, mask):
    return torch.ops.aten.convolution_backward(
        *(torch.empty(result), torch.empty(image), torch.empty(weight), None),
        *(op.stride, op.padding, op.dilation, False, (0, 0), op.groups, mask),
    )
