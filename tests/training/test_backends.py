"""Training by another backend and in several threads: the same losses, the same accuracy, and who is told."""

from __future__ import annotations

import numpy as np
import pytest

import convir
from convir import TensorType, data, nn, zoo
from convir.training import SGD, Adam, Step, evaluate, fit
from convir.training import evaluation as evaluation_module
from convir.training import step as step_module


def small_net() -> nn.Module:
    """Convolution, max pooling, a linear layer: each kind of step that training has."""
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 10))


def steps_of(make, batches, **options) -> tuple[list[float], dict[str, np.ndarray]]:
    """The loss of each step, and the parameters after the last."""
    convir.manual_seed(2)
    model = make()
    x, target = batches[0]
    types = x.shape, TensorType(target.shape, "int64")
    step = Step(model, "cross_entropy", SGD(0.05, momentum=0.9), *types, **options)
    losses = [step(x, target) for x, target in batches]
    return losses, model.state_dict()


def digits(size: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    every = data.digits()
    parts = (slice(start, start + size) for start in range(0, size * count, size))
    return [(every.inputs[part], every.targets[part]) for part in parts]


def assert_same_steps(found, expected) -> None:
    """Two float32 programs that round differently drift apart by an ulp or so a step."""
    (losses, parameters), (expected_losses, expected_parameters) = found, expected
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    assert expected_losses[-1] < expected_losses[0]
    for name, array in parameters.items():
        np.testing.assert_allclose(array, expected_parameters[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_losses_agree_step_by_step():
    pytest.importorskip("numba")
    batches = digits(16, 8)
    assert_same_steps(steps_of(small_net, batches, backend="numba"), steps_of(small_net, batches))


@pytest.mark.slow
def test_losses_agree_step_by_step_in_tiles_on_two_threads():
    pytest.importorskip("numba")
    batches = digits(96, 12)
    # Winograd's tiles, the backend's default, round ten times as much: enough for another maximum now and then.
    found = steps_of(zoo.digits_cnn, batches, backend="numba", threads=2, conv="direct")
    assert_same_steps(found, steps_of(zoo.digits_cnn, batches, threads=1))


def test_threads_divide_the_batch_and_change_nothing_but_rounding():
    batches = digits(96, 4)
    assert_same_steps(*(steps_of(zoo.digits_cnn, batches, threads=threads) for threads in (2, 1)))
    step = Step(zoo.digits_cnn(), "mse", SGD(0.1), (96, 1, 8, 8), (96, 10), threads=2)
    assert (step.compiled.division.lanes, len(step.compiled.division.tiles)) == (2, 2)


@pytest.mark.slow
def test_the_digits_are_learned_as_well():
    pytest.importorskip("numba")
    accuracies = {}
    for backend in ("numpy", "numba"):
        convir.manual_seed(0)
        train, test = data.digits().split(0.2, np.random.default_rng(0))
        model, generator = zoo.digits_cnn(), np.random.default_rng(0)
        history = fit(
            model, train, test, optimizer=Adam(lr=2e-3), epochs=15, generator=generator, backend=backend, threads=1
        )
        accuracies[backend] = history.last.test_accuracy
        assert evaluate(model, test, backend=backend).accuracy == history.last.test_accuracy
    assert min(accuracies.values()) >= 0.98
    # Two of 359 digits.
    assert abs(accuracies["numpy"] - accuracies["numba"]) <= 2 / 359


@pytest.fixture
def told(monkeypatch):
    """What each compilation was told, without Numba."""
    given = []

    def record(*arguments, **options):
        given.append({name: options[name] for name in ("conv", "backend", "threads", "tile")})
        return convir.compile(*arguments, **(options | {"backend": "numpy"}))

    monkeypatch.setattr(step_module, "compile", record)
    monkeypatch.setattr(evaluation_module, "compile", record)
    return given


def test_fit_tells_the_steps_and_the_evaluation(told):
    train = data.Dataset(data.digits().inputs[:8], data.digits().targets[:8])
    chosen = {"conv": "naive", "backend": "auto", "threads": 3, "tile": 4}
    fit(zoo.mlp(), train, train, epochs=1, **chosen)
    assert told == [chosen, chosen]
    fit(zoo.mlp(), train, train, epochs=1)
    assert told[2:] == [{"conv": None, "backend": "numpy", "threads": None, "tile": None}] * 2


def test_evaluate_is_told(told):
    chosen = {"conv": "im2col", "backend": "numba", "threads": 2, "tile": 100}
    evaluate(zoo.mlp(), data.digits(), **chosen)
    assert told == [chosen]


@pytest.mark.parametrize("function", [fit, evaluate])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "cuda"}, convir.UnsupportedError, "unknown backend='cuda'; there are: numpy, numba, auto"),
        ({"threads": 0}, convir.ConvirError, "threads is a positive integer, or None for all CPUs .* not 0"),
        ({"threads": "2"}, convir.ConvirError, "threads is a positive integer"),
        ({"tile": 0}, convir.ConvirError, "tile is a positive number of samples, or None to choose one; not 0"),
    ],
)
def test_what_it_does_not_take(function, options, error, message):
    model = zoo.mlp()
    before = model.state_dict()
    with pytest.raises(error, match=message):
        function(model, data.digits(), **options)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_training_in_tiles_and_what_cannot_be():
    """The last batch of an epoch is smaller than a tile; dropout draws for the whole batch, and only in training."""
    train = data.Dataset(data.digits().inputs[:40], data.digits().targets[:40])
    assert_same_steps(*(steps_of(small_net, digits(16, 8), **options) for options in ({"tile": 6}, {})))
    fit(small_net(), train, train, epochs=1, batch_size=32, tile=10)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
    with pytest.raises(convir.UnsupportedError, match="tile=10 asks for tiles, but dropout_mask"):
        fit(model, train, epochs=1, batch_size=32, tile=10)
    assert evaluate(model, train, tile=10).loss == pytest.approx(evaluate(model, train).loss, rel=1e-5)


def test_settings_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        Step(zoo.mlp(), "mse", SGD(0.1), (2, 1, 8, 8), (2, 10), None, "numpy")
