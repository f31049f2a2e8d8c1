"""The same models in PyTorch: representation, names, shapes, errors, and values where that is cheap."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convir.frontend import nn, trace
from convir.ir import ConvirError, ops

torch = pytest.importorskip("torch")

# PyTorch warns that an even kernel with padding="same" costs it a copy.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")

SIZES = st.integers(1, 9)
PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.integers(1, 4)
PADDING = st.tuples(st.integers(0, 3), st.integers(0, 3)) | st.integers(0, 3)


def build(nn):
    """One model in either library."""

    class Residual(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding="same", bias=False), nn.Tanh())
            self.skip = nn.Identity()

        def forward(self, x):
            return self.body(x) + self.skip(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=1, groups=2)
            self.blocks = nn.ModuleList([Residual(8), Residual(8)])
            self.same = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3), nn.ReLU()])
            self.pools = nn.Sequential(
                nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d((2, 1)), nn.ReLU(inplace=True)
            )
            self.tied = self.stem
            self.empty = nn.ModuleList()
            self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 5), nn.Sigmoid())

        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return self.head(self.pools(x))

    return Net()


def test_names_and_representation():
    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for of in ("named_parameters", "named_modules", "named_children"):
        assert [name for name, _ in getattr(ours, of)()] == [name for name, _ in getattr(theirs, of)()]
    assert [p.shape for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]


def test_a_pytorch_state_dict_loads():
    ours, theirs = build(nn), build(torch.nn)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    for name, parameter in theirs.named_parameters():
        np.testing.assert_array_equal(dict(ours.named_parameters())[name].data, parameter.detach().numpy())
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in build(nn).state_dict().items()})


def test_the_traced_shape():
    assert trace(build(nn), (2, 4, 7, 7)).outputs[0].type.shape == tuple(build(torch.nn)(torch.zeros(2, 4, 7, 7)).shape)


def shapes(ours, theirs, shape):
    """Result shapes, or None where the library refuses."""
    try:
        mine = trace(ours, shape).outputs[0].type.shape
    except ConvirError:
        mine = None
    try:
        other = tuple(theirs(torch.empty(shape, device="meta")).shape)
    except (RuntimeError, ValueError):
        other = None
    return mine, other


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(SIZES, SIZES), PAIRS, PAIRS, PADDING | st.sampled_from(["same", "valid"]), PAIRS, st.integers(1, 3),
    st.integers(1, 2),
)  # fmt: skip
def test_convolution_shapes(size, kernel, stride, padding, dilation, groups, width):
    arguments = (2 * groups, width * groups, kernel, stride, padding, dilation, groups)
    mine, other = shapes(
        lambda x: nn.Conv2d(*arguments)(x),
        lambda x: torch.nn.Conv2d(*arguments, device="meta")(x),
        (2, 2 * groups, *size),
    )
    assert mine == other


@settings(max_examples=150, deadline=None)
@given(st.tuples(SIZES, SIZES), PAIRS, st.none() | PAIRS, PADDING, PAIRS, st.booleans())
def test_max_pooling_shapes(size, kernel, stride, padding, dilation, ceil_mode):
    arguments = (kernel, stride, padding, dilation, False, ceil_mode)
    mine, other = shapes(lambda x: nn.MaxPool2d(*arguments)(x), torch.nn.MaxPool2d(*arguments), (2, 3, *size))
    assert mine == other


@settings(max_examples=100, deadline=None)
@given(st.tuples(SIZES, SIZES), PAIRS, st.none() | PAIRS, PADDING, st.booleans(), st.booleans())
def test_average_pooling_shapes(size, kernel, stride, padding, ceil_mode, count_include_pad):
    arguments = (kernel, stride, padding, ceil_mode, count_include_pad)
    mine, other = shapes(lambda x: nn.AvgPool2d(*arguments)(x), torch.nn.AvgPool2d(*arguments), (2, 3, *size))
    assert mine == other


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (1, 2), (3, 3)])
@pytest.mark.parametrize("dilation", [1, 3])
def test_same_padding_puts_the_odd_row_where_pytorch_does(kernel, dilation):
    x, weight = torch.randn(2, 3, 7, 8), torch.randn(4, 3, *kernel)
    graph = trace(lambda x: nn.functional.conv2d(x, weight.numpy(), padding="same", dilation=dilation), tuple(x.shape))
    padded = x
    for node in graph.nodes:
        if isinstance(node.op, ops.Pad2d):
            (top, bottom), (left, right) = node.op.margins
            padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    conv = graph.nodes[-1].op
    result = torch.nn.functional.conv2d(padded, weight, None, conv.stride, conv.padding, conv.dilation)
    expected = torch.nn.functional.conv2d(x, weight, padding="same", dilation=dilation)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x.view(-1, x.size(2)),
        lambda x: x.flatten(1, 2),
        lambda x: x.flatten(-2),
        lambda x: x.permute(3, 0, 2, 1),
        lambda x: x.transpose(-1, 1),
        lambda x: x.unsqueeze(-2),
        lambda x: x.unsqueeze(2).squeeze(),
        lambda x: x.squeeze(1),
        lambda x: x.squeeze((1, 2)),
        lambda x: x.sum(),
        lambda x: x.sum((0, -1), keepdim=True),
        lambda x: x.mean(-1),
        lambda x: x.amax((1, 3)),
        lambda x: x.mean((2, 3), True) * x - 1,
        lambda x: x @ x.transpose(2, 3),
    ],
)
def test_tensor_methods_give_pytorchs_shapes(function):
    shape = (2, 1, 4, 5)
    assert trace(function, shape).outputs[0].type.shape == tuple(function(torch.zeros(shape)).shape)


def test_defaults_and_argument_order_are_pytorchs():
    names = ["Conv2d", "Linear", "MaxPool2d", "AvgPool2d", "Flatten", "ReLU", "Dropout"]
    pairs = [(getattr(nn, name), getattr(torch.nn, name)) for name in names]
    for ours, theirs in pairs:
        mine = [(p.name, p.default) for p in inspect.signature(ours).parameters.values()]
        other = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
        assert mine == other, ours
