"""The models that come with convir."""

import pytest

from convir import zoo
from convir.frontend import trace
from convir.ir import LoadError, UnsupportedError, verify


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_model_traces_at_its_input_shape(name):
    entry = zoo.MODELS[name]
    model = zoo.load(name)
    batch = entry.input_shape[0]
    graph = trace(model, entry.input_shape)
    verify(graph)
    assert graph.outputs[0].type.shape == (batch, 10)
    assert len(graph.params) == len(list(model.parameters()))
    assert trace(model, (7, *entry.input_shape[1:])).outputs[0].type.shape == (7, 10)


@pytest.mark.parametrize("size", [28, 32])
def test_lenet(size):
    model = zoo.lenet5(input_size=size)
    assert count(model) == 61_706
    graph = trace(model, (64, 1, size, size))
    assert " ".join(node.name for node in graph.nodes) == (
        "conv1 relu1 pool1 conv2 relu2 pool2 flatten fc1 relu3 fc2 relu4 fc3"
    )
    assert graph.node("conv1").outputs[0].type.shape == (64, 6, 28, 28)
    assert graph.node("flatten").outputs[0].type.shape == (64, 400)
    assert str(graph.node("conv2").source).startswith("lenet.py:")


def test_lenet_text():
    first = str(trace(zoo.lenet5(), (64, 1, 28, 28))).splitlines()[:3]
    assert first == [
        "graph lenet5(x: f32[64,1,28,28]) -> f32[64,10]:",
        "  conv1 = conv2d(x, conv1.weight, conv1.bias, stride=(1, 1), padding=(2, 2)) : f32[64,6,28,28]        # conv1",
        "  relu1 = relu(conv1) : f32[64,6,28,28]                                                               # relu1",
    ]


def test_sizes():
    assert count(zoo.digits_cnn()) == 25_866
    assert count(zoo.mlp(4, (3,), 2)) == 4 * 3 + 3 + 3 * 2 + 2
    assert count(zoo.mlp(4, (), 2)) == 4 * 2 + 2
    assert zoo.load("lenet5", num_classes=3).fc3.out_features == 3


def test_errors():
    with pytest.raises(LoadError, match="the zoo has no model 'lenet'; it has lenet5, digits_cnn, mlp"):
        zoo.load("lenet")
    with pytest.raises(UnsupportedError, match="LeNet5: input_size must be 28 or 32, got 30"):
        zoo.lenet5(input_size=30)
