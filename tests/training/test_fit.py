"""Fits: what the history says, that they learn, repeat, stop cleanly, and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import convir
from convir import ConvirError, DTypeError, ExecutionError, ShapeError, TensorType, UnsupportedError, data, nn, zoo
from convir.training import SGD, Adam, Epoch, History, Step, evaluate, fit


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some_digits(train: int = 70, test: int = 30) -> tuple[data.Dataset, data.Dataset]:
    digits = data.digits()
    return tuple(
        data.Dataset(digits.inputs[part], digits.targets[part]) for part in (slice(train), slice(train, train + test))
    )


def logits_of(model: nn.Module, dataset: data.Dataset) -> np.ndarray:
    return convir.compile(model, dataset.inputs.shape, inference=True)(dataset.inputs).astype("float64")


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(target)), target]


def test_history_numbers_are_those_of_a_loop_by_hand():
    train, test = some_digits()
    fitted, model = zoo.mlp(), zoo.mlp()
    model.load_state_dict(fitted.state_dict())
    history = fit(fitted, train, test, optimizer=SGD(0.1, momentum=0.9), epochs=3, batch_size=32, generator=rng(4))

    step = Step(model, "cross_entropy", SGD(0.1, momentum=0.9), (32, 1, 8, 8), TensorType((32,), "int64"))
    generator = rng(4)
    for epoch in history.epochs:
        losses, right = [], 0
        order = generator.permutation(70)
        for rows in (order[:32], order[32:64], order[64:]):
            batch = data.Dataset(train.inputs[rows], train.targets[rows])
            logits = logits_of(model, batch)
            losses += cross_entropy(logits, batch.targets).tolist()
            right += int((logits.argmax(1) == batch.targets).sum())
            step(batch.inputs, batch.targets)
        assert epoch.train_loss == pytest.approx(np.mean(losses), rel=1e-5)
        assert epoch.train_accuracy == right / 70
        logits = logits_of(model, test)
        assert epoch.test_loss == pytest.approx(cross_entropy(logits, test.targets).mean(), rel=1e-5)
        assert epoch.test_accuracy == (logits.argmax(1) == test.targets).mean()
        assert epoch.seconds > 0
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]
    for name, array in fitted.state_dict().items():
        np.testing.assert_array_equal(array, model.state_dict()[name])


def test_evaluation_does_not_depend_on_the_batch_size():
    _, test = some_digits()
    model = zoo.digits_cnn()
    before = model.state_dict()
    results = [evaluate(model, test, batch_size=size) for size in (1, 7, 30, 1000)]
    logits = logits_of(model, test)
    for loss, accuracy in results:
        assert loss == pytest.approx(cross_entropy(logits, test.targets).mean(), rel=1e-5)
        assert accuracy == (logits.argmax(1) == test.targets).mean()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_evaluation_is_without_dropout():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(64, 10))
    _, test = some_digits()
    assert evaluate(model, test) == evaluate(model, test)
    assert model.training is True
    assert model[1].training is True


def test_the_same_seed_gives_the_same_fit():
    train, _ = some_digits()

    def losses(seed: int, order: int) -> list[float]:
        convir.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))
        return [epoch.train_loss for epoch in fit(model, train, epochs=2, generator=rng(order)).epochs]

    assert losses(1, 1) == losses(1, 1)
    assert losses(1, 1) != losses(2, 1)
    assert losses(1, 1) != losses(1, 2)


def test_without_a_generator_the_default_one_draws_the_order():
    train, _ = some_digits()

    def losses(seed: int) -> list[float]:
        convir.manual_seed(seed)
        return [epoch.train_loss for epoch in fit(zoo.mlp(), train, epochs=2).epochs]

    assert losses(3) == losses(3) != losses(4)


def test_every_epoch_shows_every_sample_once(monkeypatch):
    train, _ = some_digits()
    seen: list[np.ndarray] = []
    call = Step.__call__
    monkeypatch.setattr(Step, "__call__", lambda self, x, target: seen.append(x) or call(self, x, target))
    fit(zoo.mlp(), train, epochs=2, batch_size=32)
    assert [len(x) for x in seen] == [32, 32, 6, 32, 32, 6]
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert (first != second).any()
    for epoch in (first, second):
        rows = sorted(row.tobytes() for row in epoch)
        assert rows == sorted(row.tobytes() for row in train.inputs)


def test_regression_and_numbers_without_accuracy():
    x = rng().standard_normal((64, 3))
    truth = np.array([[1.0, -2.0, 0.5]])
    train = data.Dataset(x, x @ truth.T)
    model = nn.Linear(3, 1).double()
    history = fit(model, train, train, loss="mse", optimizer=SGD(0.1), epochs=60)
    np.testing.assert_allclose(model.weight.data, truth, atol=1e-3)
    assert history.last.train_accuracy is history.last.test_accuracy is None
    assert history.last.test_loss < 1e-6


def digits_fit(seed: int, epochs: int, frozen: bool = False) -> tuple[History, zoo.DigitsCNN, dict[str, np.ndarray]]:
    convir.manual_seed(seed)
    train, test = data.digits().split(0.2, rng(seed))
    model = zoo.digits_cnn()
    for layer in (model.conv1, model.conv2, model.conv3):
        layer.requires_grad_(not frozen)
    before = model.state_dict()
    history = fit(model, train, test, optimizer=Adam(lr=2e-3), epochs=epochs, generator=rng(seed))
    return history, model, before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_digits_are_learned_and_the_filters_matter(seed):
    history, model, before = digits_fit(seed, epochs=15)
    frozen, _, _ = digits_fit(seed, epochs=15, frozen=True)
    assert history.last.test_accuracy >= 0.98
    assert frozen.last.test_accuracy < history.last.test_accuracy - 0.01
    for name in ("conv1.weight", "conv2.weight", "conv3.weight"):
        change = np.linalg.norm(model.state_dict()[name] - before[name]) / np.linalg.norm(before[name])
        assert change > 0.1, name


def test_frozen_filters_stay_and_learning_ones_do_better():
    learned, model, before = digits_fit(0, epochs=4)
    frozen, still, start = digits_fit(0, epochs=4, frozen=True)
    assert learned.last.test_accuracy > 0.95
    assert frozen.last.test_accuracy < learned.last.test_accuracy - 0.05
    for name in ("conv1.weight", "conv2.weight", "conv3.weight"):
        np.testing.assert_array_equal(still.state_dict()[name], start[name])
        assert np.abs(model.state_dict()[name] - before[name]).max() > 0.01
    assert (still.fc.weight.data != start["fc.weight"]).any()


def test_an_interrupted_fit_leaves_a_usable_model(monkeypatch):
    train, test = some_digits()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10)).eval()
    before = model.state_dict()
    calls = iter(range(100))
    call = Step.__call__

    def interrupted(self, x, target):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return call(self, x, target)

    monkeypatch.setattr(Step, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(model, train, epochs=5, progress=True)
    assert [module.training for module in model.modules()] == [False] * 4
    assert (model.state_dict()["2.weight"] != before["2.weight"]).any()
    assert np.isfinite(evaluate(model, test).loss)


def test_a_fit_that_diverges_says_where_and_what_to_try():
    train, _ = some_digits()
    with pytest.raises(ExecutionError, match=r"^epoch \d+, batch \d+: the loss is (nan|inf).*a lower learning rate"):
        fit(zoo.digits_cnn(), train, optimizer=SGD(1e25), epochs=20, batch_size=8)


def test_nan_in_the_data():
    train, _ = some_digits()
    inputs = train.inputs.copy()
    inputs[3, 0, 0, 0] = np.nan
    with pytest.raises(ExecutionError, match=r"epoch 1, batch 1: the loss is nan.* free of NaN"):
        fit(zoo.mlp(), data.Dataset(inputs, train.targets), batch_size=70)


def test_classes_out_of_range_say_where():
    train, test = some_digits()
    with pytest.raises(ExecutionError, match=r"epoch 1, batch \d: cross_entropy: target holds class 9, .* 0 to 8"):
        fit(zoo.mlp(num_classes=9), train)
    with pytest.raises(ExecutionError, match="target holds class 9"):
        evaluate(zoo.mlp(num_classes=9), test)


def test_a_smaller_data_set_than_a_batch():
    train, _ = some_digits(train=5)
    assert len(fit(zoo.mlp(), train, epochs=1, batch_size=32).epochs) == 1


SMALL = some_digits()[0].resized((4, 4))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ShapeError, "epochs must be a positive integer, got 0", {"epochs": 0}),
        (ShapeError, "epochs must be a positive integer, got 1.5", {"epochs": 1.5}),
        (ShapeError, "batch_size must be a positive integer, got -3", {"batch_size": -3}),
        (UnsupportedError, "unknown loss 'l1'", {"loss": "l1"}),
        (UnsupportedError, "unknown lowering strategy 'fast'", {"conv": "fast", "model": zoo.digits_cnn}),
        (ShapeError, r"train must be a data.Dataset\(inputs, targets\), got tuple", {"train": (1, 2)}),
        (ShapeError, "test must be a data.Dataset", {"test": np.zeros(3)}),
        (ShapeError, r"train has samples of shape \[1, 8, 8\], test of \[1, 4, 4\]", {"test": SMALL}),
        (ConvirError, "nothing to train", {"model": lambda: zoo.mlp().requires_grad_(False)}),
        (DTypeError, "float64", {"model": lambda: zoo.mlp().double()}),
        (ShapeError, "MLP|hidden", {"train": SMALL}),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted(error, message, options):
    train, _ = some_digits()
    arguments = {"train": train, **options}
    model = arguments.pop("model", zoo.mlp)()
    before = model.state_dict()
    with pytest.raises(error, match=message):
        fit(model, **arguments)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_silent_unless_asked(capsys):
    train, test = some_digits()
    fit(zoo.mlp(), train, test, epochs=2)
    fit(zoo.mlp(), train, test, epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")
    history = fit(zoo.mlp(), train, test, epochs=2, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert f"loss {history.last.train_loss:.4f}" in lines[1]
    assert f"test {history.last.test_loss:.4f}  {history.last.test_accuracy:.2%}".replace("%", " %") in lines[1]


@pytest.mark.parametrize("width", [20, 30, 48, 60, 80, 200])
def test_the_bar_fits_the_terminal(width, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    train, test = some_digits()
    history = fit(zoo.mlp(), train, test, epochs=2)
    written = capsys.readouterr().out
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written))]
    last = [line for line in lines if line][-1]
    assert max(map(len, lines)) <= width
    if width >= 30:
        assert "2/2" in last
        assert f"loss {history.last.train_loss:.4f}" in last
        assert f"{history.last.test_accuracy:.2%}".replace("%", " %") in last


def test_progress_and_plots_do_not_slow_the_import_down():
    code = (
        "import sys; from convir import training, data; print([m for m in ('rich', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


HISTORY = History((Epoch(1, 2.0, 0.25, 1.5, 0.5, 0.5), Epoch(2, 0.125, 0.9722, None, None, 1.0)))


def test_history_as_json_and_as_a_table():
    assert json.loads(json.dumps(HISTORY.to_json()))["epochs"][0] == {
        "number": 1, "train_loss": 2.0, "train_accuracy": 0.25, "test_loss": 1.5, "test_accuracy": 0.5, "seconds": 0.5,
    }  # fmt: skip
    assert HISTORY.to_json()["schema"] == "convir.history/1"
    assert HISTORY.last.number == 2
    assert [line.split() for line in HISTORY.table().text(80).splitlines()[3:]] == [
        ["1", "2", "25.00", "%", "1.5", "50.00", "%", "500", "ms"],
        ["2", "0.125", "97.22", "%", "-", "-", "1.00", "s"],
    ]
    assert max(map(len, HISTORY.table().text(30).splitlines())) <= 40


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_history_as_a_plot(tmp_path, suffix, magic):
    pytest.importorskip("matplotlib")
    path = HISTORY.plot(tmp_path / f"history.{suffix}")
    assert path.read_bytes().startswith(magic)


def test_plots_that_cannot_be_made(tmp_path, monkeypatch):
    with pytest.raises(UnsupportedError, match=r"cannot plot to 'history.gif': the suffix must be"):
        HISTORY.plot(tmp_path / "history.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UnsupportedError, match="plotting needs matplotlib; pip install"):
        HISTORY.plot(tmp_path / "history.svg")
    assert list(tmp_path.iterdir()) == []
