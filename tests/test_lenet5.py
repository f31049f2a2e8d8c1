"""LeNet-5, forward and backward: naive, im2col, central differences and PyTorch agree."""

from __future__ import annotations

import numpy as np
import pytest
from support.differences import STEP
from support.graphs import assert_close

import convir
from convir import TensorType, nn, zoo
from convir.ir import verify
from convir.ir.ops import ConvOp

BATCH = 2


def batch(dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Images and class indices."""
    rng = np.random.default_rng(4)
    return rng.standard_normal((BATCH, 1, 28, 28)).astype(dtype), np.array([3, 7])


class Loss(nn.Module):
    """LeNet-5 with its cross-entropy."""

    def __init__(self):
        self.net = zoo.lenet5()

    def forward(self, x, target):
        return nn.functional.cross_entropy(self.net(x), target)


def compiled_loss(model: Loss, dtype: str = "float32", **options) -> convir.Compiled:
    return convir.compile(model, TensorType((BATCH, 1, 28, 28), dtype), TensorType((BATCH,), "int64"), **options)


@pytest.fixture(scope="module")
def both():
    """Logits and gradients of the same network, by the loops and by im2col."""
    convir.manual_seed(0)
    model = zoo.lenet5()
    x, _ = batch()
    dy = np.random.default_rng(1).standard_normal((BATCH, 10)).astype("f")
    found = {}
    for choice, pool in (("naive", "naive"), ("im2col", "taps")):
        compiled = convir.compile(model, x.shape, conv=choice, pool=pool)
        found[choice] = (compiled(x), compiled.backward(dy))
    return model, x, dy, found


def test_im2col_equals_the_loops(both):
    _, _, _, found = both
    (y, gradients), (expected, expected_gradients) = found["im2col"], found["naive"]
    assert_close([y], [expected], 1e-5)
    assert len(gradients) == 11
    assert list(gradients) == list(expected_gradients)
    assert_close(list(gradients.values()), list(expected_gradients.values()), 1e-5)


def test_pytorch_agrees(both):
    torch = pytest.importorskip("torch")
    tnn = torch.nn
    model, x, dy, found = both
    layers = {
        "conv1": tnn.Conv2d(1, 6, 5, padding=2),
        "relu1": tnn.ReLU(),
        "pool1": tnn.MaxPool2d(2),
        "conv2": tnn.Conv2d(6, 16, 5),
        "relu2": tnn.ReLU(),
        "pool2": tnn.MaxPool2d(2),
        "flatten": tnn.Flatten(),
        "fc1": tnn.Linear(400, 120),
        "relu3": tnn.ReLU(),
        "fc2": tnn.Linear(120, 84),
        "relu4": tnn.ReLU(),
        "fc3": tnn.Linear(84, 10),
    }
    peer = tnn.Sequential()
    for name, layer in layers.items():
        peer.add_module(name, layer)
    peer.load_state_dict({name: torch.tensor(array) for name, array in model.state_dict().items()})
    image = torch.tensor(x, requires_grad=True)
    y = peer(image)
    y.backward(torch.tensor(dy))
    expected = {name: parameter.grad.numpy() for name, parameter in peer.named_parameters()}
    expected["x"] = image.grad.numpy()
    for forward, gradients in found.values():
        assert_close([forward], [y.detach().numpy()], 1e-5)
        assert_close(list(gradients.values()), [expected[name] for name in gradients], 1e-5)


@pytest.fixture(scope="module")
def differentiable():
    """The loss in float64, its gradients, and a function that gives the loss again."""
    convir.manual_seed(0)
    model = Loss().double()
    compiled = compiled_loss(model, "float64")
    x, target = batch("float64")
    compiled(x, target)
    gradients = compiled.backward()
    arrays = {name: parameter.data for name, parameter in model.named_parameters()} | {"x": x}
    return arrays, gradients, lambda: float(compiled.run_forward(x, target)[0])


def difference(arrays, directions, loss) -> float:
    """The slope of the loss along a direction."""
    kept = {name: arrays[name].copy() for name in directions}

    def at(step: float) -> float:
        for name, direction in directions.items():
            arrays[name][...] = kept[name] + step * direction
        return loss()

    slope = (at(STEP) - at(-STEP)) / (2 * STEP)
    for name, array in kept.items():
        arrays[name][...] = array
    return slope


def test_every_gradient_agrees_with_central_differences_along_random_directions(differentiable):
    arrays, gradients, loss = differentiable
    rng = np.random.default_rng(9)
    for name, gradient in gradients.items():
        for _ in range(3):
            direction = rng.standard_normal(gradient.shape)
            direction /= np.linalg.norm(direction)
            slope = difference(arrays, {name: direction}, loss)
            assert np.vdot(gradient, direction) == pytest.approx(slope, abs=1e-6), name


def test_single_elements_agree_with_central_differences(differentiable):
    arrays, gradients, loss = differentiable
    rng = np.random.default_rng(10)
    for name, gradient in gradients.items():
        for flat in rng.choice(gradient.size, min(8, gradient.size), replace=False):
            unit = np.zeros(gradient.shape)
            unit.flat[flat] = 1
            assert gradient.flat[flat] == pytest.approx(difference(arrays, {name: unit}, loss), abs=1e-6), name


def test_every_direction_at_once(differentiable):
    arrays, gradients, loss = differentiable
    rng = np.random.default_rng(11)
    directions = {name: rng.standard_normal(gradient.shape) for name, gradient in gradients.items()}
    norm = np.sqrt(sum(np.vdot(d, d) for d in directions.values()))
    directions = {name: direction / norm for name, direction in directions.items()}
    slope = sum(np.vdot(gradients[name], direction) for name, direction in directions.items())
    assert slope == pytest.approx(difference(arrays, directions, loss), abs=1e-6)


def test_the_lowered_graphs_hold_products_and_no_convolution():
    compiled = convir.compile(zoo.lenet5(), (4, 1, 28, 28))
    forward = [node.op.name for node in compiled.graph.nodes]
    assert {"im2col", "matmul"} <= set(forward)
    assert not {"conv2d", "relu"} & set(forward)
    backward = [node.op for node in compiled.backward_graph.nodes]
    assert not any(isinstance(op, ConvOp) for op in backward)
    assert {"col2im", "matmul", "relu_grad", "max_pool2d_grad_taps"} <= {op.name for op in backward}


def test_every_stage_passes_the_verifier():
    compiled = compiled_loss(Loss())
    names = [stage.name for stage in compiled.stages]
    assert names[0] == "trace"
    assert names[-2:] == ["split_forward", "split_backward"]
    for stage in compiled.stages:
        verify(stage.graph, after=stage.name)


def test_the_32_pixel_network_of_1998():
    compiled = convir.compile(zoo.lenet5(input_size=32), (3, 1, 32, 32))
    assert compiled(np.ones((3, 1, 32, 32), "f")).shape == (3, 10)


def test_inference_equals_training():
    model = zoo.lenet5()
    x, _ = batch()
    expected = convir.compile(model, x.shape)(x)
    assert_close([convir.compile(model, x.shape, inference=True)(x)], [expected], 1e-5)


def test_a_few_steps_of_descent_reduce_the_loss():
    model = Loss()
    compiled = compiled_loss(model)
    x, target = batch()
    losses = []
    for _ in range(10):
        losses.append(float(compiled(x, target)))
        gradients = compiled.backward()
        for name, parameter in model.named_parameters():
            parameter.data[...] -= 0.05 * gradients[name]
    assert losses[-1] < losses[0] / 2
