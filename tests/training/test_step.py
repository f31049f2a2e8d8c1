"""One step: the values it computes, what it changes, what it refuses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import convir
from convir import (
    ConvirError,
    DTypeError,
    ExecutionError,
    ShapeError,
    TensorType,
    TraceError,
    UnsupportedError,
    nn,
    zoo,
)
from convir.training import SGD, Adam, Step


def classes(batch: int) -> TensorType:
    return TensorType((batch,), "int64")


def batch(size: int, seed: int = 0, image: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((size, 1, image, image)).astype("float32"), generator.integers(0, 10, size)


def doubles(*shape: int) -> TensorType:
    return TensorType(shape, "float64")


def step_of(model, size=4, optimizer=None, **options) -> Step:
    return Step(model, "cross_entropy", optimizer or SGD(0.1), (size, 1, 8, 8), classes(size), **options)


class Linear(nn.Module):
    """y = w x, by elements, with weights that are easy to follow."""

    def __init__(self, *w: float) -> None:
        self.w = nn.Parameter(np.array(w))

    def forward(self, x):
        return x * self.w


def test_a_step_by_hand():
    model = Linear(1.0, 2.0)
    step = Step(model, "mse", SGD(0.5), doubles(1, 2), doubles(1, 2))
    # Loss ((3 - 1)^2 + (8 - 4)^2) / 2; its gradient is (y - t) * x = [2 * 3, 4 * 4].
    assert step(np.array([[3.0, 4.0]]), np.array([[1.0, 4.0]])) == 10.0
    np.testing.assert_array_equal(step.outputs[0], [[3.0, 8.0]])
    np.testing.assert_array_equal(model.w.data, [1 - 0.5 * 6, 2 - 0.5 * 16])


def torch_lenet(torch, model):
    f = torch.nn.functional
    theirs = torch.nn.ModuleDict(
        {
            "conv1": torch.nn.Conv2d(1, 6, 5, padding=2),
            "conv2": torch.nn.Conv2d(6, 16, 5),
            "fc1": torch.nn.Linear(400, 120),
            "fc2": torch.nn.Linear(120, 84),
            "fc3": torch.nn.Linear(84, 10),
        }
    )
    theirs.load_state_dict({name: torch.tensor(array) for name, array in model.state_dict().items()})

    def forward(x):
        x = f.max_pool2d(f.relu(theirs["conv1"](x)), 2)
        x = f.max_pool2d(f.relu(theirs["conv2"](x)), 2).flatten(1)
        return theirs["fc3"](f.relu(theirs["fc2"](f.relu(theirs["fc1"](x)))))

    return theirs, forward


def test_steps_of_lenet_are_pytorch_s():
    torch = pytest.importorskip("torch")
    model = zoo.lenet5()
    theirs, forward = torch_lenet(torch, model)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.05, momentum=0.9)
    step = Step(model, "cross_entropy", SGD(0.05, momentum=0.9), (8, 1, 28, 28), classes(8))
    for seed, size in enumerate((8, 8, 5, 8)):
        x, target = batch(size, seed, image=28)
        optimizer.zero_grad()
        logits = forward(torch.tensor(x))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(target))
        loss.backward()
        optimizer.step()
        assert step(x, target) == pytest.approx(loss.item(), rel=1e-5)
        np.testing.assert_allclose(step.outputs[0], logits.detach().numpy(), rtol=1e-4, atol=1e-5)
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], tensor.numpy(), rtol=1e-4, atol=2e-6)


def test_the_state_is_kept_from_one_batch_size_to_another():
    """Momentum belongs to the parameters and not to a specialisation."""
    model = Linear(1.0)
    step = Step(model, lambda y, t: (y * t).mean(), SGD(1.0, momentum=0.5), doubles(1, 1), doubles(1, 1))
    one = np.ones((1, 1))
    step(one, one)  # v = 1, w = 0
    step(np.ones((2, 1)), np.ones((2, 1)))  # v = 1.5, w = -1.5
    step(one, one)  # v = 1.75
    np.testing.assert_allclose(model.w.data, [-3.25])


def test_naive_and_im2col_take_the_same_step():
    states = []
    for conv in ("naive", "im2col"):
        convir.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
        step_of(model, conv=conv)(*batch(4))
        states.append(model.state_dict())
    for name in states[0]:
        np.testing.assert_allclose(states[0][name], states[1][name], rtol=1e-5, atol=1e-6)


def test_every_parameter_that_requires_a_gradient_moves_and_no_other():
    model = zoo.digits_cnn()
    model.conv1.requires_grad_(False)
    before = model.state_dict()
    step = step_of(model, optimizer=Adam())
    step(*batch(4))
    moved = {name for name, array in model.state_dict().items() if (array != before[name]).any()}
    assert moved == {name for name in before if not name.startswith("conv1.")}
    # Nothing is computed that nobody asked for: no gradient of the input or of the frozen layer.
    assert set(step.compiled.program.wrt) == moved
    assert not any("x.grad" in node.name or "conv1.weight" in node.name for node in step.compiled.backward_graph.nodes)


def test_a_parameter_that_forward_does_not_use_stays():
    class Spare(Linear):
        def __init__(self):
            super().__init__(1.0)
            self.spare = nn.Parameter([5.0])

    model = Spare()
    step = Step(model, "mse", SGD(0.1, weight_decay=1.0), doubles(1, 1), doubles(1, 1))
    step(np.ones((1, 1)), np.zeros((1, 1)))
    assert model.spare.data == 5.0
    assert model.w.data != 1.0


def test_parameters_and_scopes_have_the_model_s_own_names():
    step = step_of(zoo.digits_cnn())
    assert list(step.compiled.program.wrt) == list(zoo.digits_cnn().state_dict())
    assert step.compiled.program.model.node("conv1").scope == "conv1"
    assert [str(value.type) for value in step.compiled.program.model.outputs] == ["f32[]", "f32[4,10]"]


def test_it_trains_in_training_mode_and_leaves_the_modes_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)).eval()
    model[2].training = True
    step = step_of(model)
    step(*batch(4))
    step(*batch(3))
    assert [module.training for module in model.modules()] == [False, False, False, True]
    assert "dropout_mask" in [node.op.name for node in step.compiled.graph.nodes]


def test_modes_come_back_when_forward_raises():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    model = Broken().eval()
    with pytest.raises(KeyError, match="mine"):
        step_of(model)
    assert model.training is False


def test_a_loss_of_one_s_own_with_several_outputs():
    class Two(Linear):
        def forward(self, x):
            return {"y": x * self.w, "penalty": (self.w * self.w).sum()}

    model = Two(3.0)

    def loss(out, target):
        return nn.functional.mse_loss(out["y"], target) + out["penalty"]

    step = Step(model, loss, SGD(0.1), doubles(1, 1), doubles(1, 1))
    assert step(np.array([[2.0]]), np.array([[5.0]])) == 1 + 9
    np.testing.assert_allclose(model.w.data, [3 - 0.1 * (2 * 2 * (6 - 5) + 2 * 3)])
    assert [array.tolist() for array in step.outputs] == [[[6.0]], 9.0]


@pytest.mark.parametrize("threads", [1, 2])
def test_after_the_first_call_no_array_is_allocated(threads, monkeypatch):
    """What is left is NumPy's own, of a bounded size a thread, whatever the batch."""
    monkeypatch.setenv("CONVIR_NUM_THREADS", str(threads))
    peaks = []
    for size in (64, 256):
        step = step_of(zoo.digits_cnn(), size=size, optimizer=Adam())
        x, target = batch(size)
        step(x, target)
        tracemalloc.start()
        step(x, target)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step(x, target)
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 2000
        peaks.append(peak - before)
    # NumPy's iterators have a buffer of 8192 numbers for each of three operands where rows are short; which ones do
    # depends on the shapes. A convolution's result takes 256 KiB at least, in the smaller batch too.
    assert max(peaks) < (3 * 8192 * 4 + 4000) * threads


def test_a_loss_that_is_not_finite_leaves_the_parameters_alone():
    model = zoo.mlp()
    before = model.state_dict()
    step = step_of(model)
    x, target = batch(4)
    x[2] = np.nan
    with pytest.raises(ExecutionError, match="the loss is nan, so training has diverged; try a lower learning rate"):
        step(x, target)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_classes_out_of_range():
    step = step_of(zoo.mlp())
    x, _ = batch(4)
    with pytest.raises(ExecutionError, match="target holds class 10, but the logits have 10 classes, 0 to 9"):
        step(x, np.full(4, 10))


def test_batches_that_do_not_fit():
    step = step_of(zoo.mlp())
    x, target = batch(4)
    with pytest.raises(DTypeError, match="input x must be float32, got float64"):
        step(x.astype("float64"), target)
    with pytest.raises(DTypeError, match="input target must be int64, got int32"):
        step(x, target.astype("int32"))
    with pytest.raises(ShapeError, match="target"):
        step(x, target[:3])
    with pytest.raises(ShapeError, match="input x must be"):
        step(x[0], target)


def mlp_step(loss, target_type) -> Step:
    return Step(zoo.mlp(), loss, SGD(0.1), (4, 1, 8, 8), target_type)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (UnsupportedError, "unknown loss 'hinge'; there are 'cross_entropy', 'mse'", lambda: mlp_step("hinge", (4,))),
        (UnsupportedError, "unknown lowering strategy 'x'", lambda: step_of(zoo.digits_cnn(), conv="x")),
        (TraceError, "whose parameters it changes; got function", lambda: step_of(lambda x: x)),
        (ConvirError, "MLP: nothing to train: requires_grad", lambda: step_of(zoo.mlp().requires_grad_(False))),
        (ConvirError, "Flatten: nothing to train: it has no parameters", lambda: step_of(nn.Flatten())),
        (DTypeError, "target holds class indices", lambda: mlp_step("cross_entropy", (4,))),
        (ShapeError, "mse_loss: .*must have one shape", lambda: mlp_step("mse", (4,))),
        (ShapeError, r"loss: .* one number.*got f32\[4,10\]", lambda: mlp_step(lambda y, t: y - t, (4, 10))),
        (ShapeError, "got tuple", lambda: mlp_step(lambda y, t: (y.mean(), t), (4, 10))),
        (ShapeError, "cross_entropy: .*4.*5|cross_entropy: .*5.*4", lambda: mlp_step("cross_entropy", classes(5))),
    ],
)
def test_what_cannot_be_trained(error, message, make):
    with pytest.raises(error, match=message):
        make()


def test_an_error_in_a_named_loss_shows_no_line_of_convir():
    with pytest.raises(DTypeError) as caught:
        mlp_step("cross_entropy", (4,))
    assert ".py" not in str(caught.value)
