"""``convir train``: a model on the digits that come with convir."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convir.cli.inputs import specs_of
from convir.cli.load import Loaded, load_model
from convir.common.files import require_writable
from convir.common.random import manual_seed
from convir.frontend import nn
from convir.ir import LoadError, ShapeError
from convir.runtime import kernels_for

EPOCHS = 25
TEST_FRACTION = 0.2


def _adam(lr: float | None) -> Any:
    from convir.training import Adam

    return Adam(2e-3 if lr is None else lr)


def _sgd(lr: float | None) -> Any:
    from convir.training import SGD

    return SGD(0.05 if lr is None else lr, momentum=0.9)


OPTIMIZERS: dict[str, Callable[[float | None], Any]] = {"adam": _adam, "sgd": _sgd}


@dataclass(frozen=True)
class Training:
    """What ``convir train`` reports: the history and how it ended."""

    model: str
    seed: int
    optimizer: str
    batch_size: int
    backend: str
    train_samples: int
    test_samples: int
    history: Any
    saved: str | None

    def to_json(self) -> dict[str, Any]:
        """The fields, the history as in ``History.to_json()``, and ``test_accuracy``."""
        accuracy = self.history.last.test_accuracy
        return {
            "schema": "convir.train/1",
            **vars(self),
            "history": self.history.to_json(),
            "test_accuracy": accuracy,
        }

    def __str__(self) -> str:
        last = self.history.last
        seconds = sum(epoch.seconds for epoch in self.history.epochs)
        lines = [
            str(self.history),
            f"{self.model}, {self.optimizer}, batches of {self.batch_size}, seed {self.seed}, by {self.backend}: "
            f"{self.train_samples} digits to learn from, {seconds:.1f} s.",
            f"Held-out accuracy: {last.test_accuracy:.2%} of {self.test_samples} digits.",
        ]
        return "\n".join([*lines, f"Weights: {self.saved}"] if self.saved else lines)


def train(args: Namespace) -> Training:
    """Train on four fifths of the digits, scaled to the model's input, and test on the rest."""
    from convir import data
    from convir.training import save

    if args.save:
        require_writable(args.save)
    backend = kernels_for(args.backend).name
    manual_seed(args.seed)
    loaded = load_model(args.model)
    if not isinstance(loaded.model, nn.Module):
        raise LoadError(f"{args.model} is no nn.Module; only those have weights to train")
    dtype, size = _image(loaded, args)
    loaded.model.to(dtype)
    digits = data.digits()
    if digits.inputs.shape[2:] != size:
        digits = digits.resized(size)
    digits = data.Dataset(digits.inputs.astype(dtype), digits.targets)
    generator = np.random.default_rng(args.seed)
    learned, held_out = data.train_test_split(digits, TEST_FRACTION, generator)
    history = _fitted(loaded.model, learned, held_out, generator, args)
    saved = str(save(loaded.model, args.save)) if args.save else None
    counts = (len(learned), len(held_out))
    return Training(args.model, args.seed, args.optimizer, args.batch_size, backend, *counts, history, saved)


def _fitted(model: nn.Module, learned: Any, held_out: Any, generator: np.random.Generator, args: Namespace) -> Any:
    """The history of the fit. Interrupted, it keeps the weights so far if they are wanted."""
    from convir.training import fit

    before = model.state_dict()
    try:
        return fit(
            model,
            learned,
            held_out,
            optimizer=OPTIMIZERS[args.optimizer](args.lr),
            epochs=args.epochs,
            batch_size=args.batch_size,
            generator=generator,
            backend=args.backend,
            threads=args.threads,
            tile=args.tile,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*_kept(model, before, args.save)) from None


def _kept(model: nn.Module, before: Mapping[str, Any], path: str | None) -> tuple[str, ...]:
    """What became of the weights, after saving them if they are wanted and not the untrained ones."""
    from convir.training import save

    if path is None:
        return ()
    if all(np.array_equal(array, before[name]) for name, array in model.state_dict().items()):
        return (f"nothing was trained yet, and {path} not written",)
    return (f"the weights so far are in {save(model, path)}",)


def _image(loaded: Loaded, args: Namespace) -> tuple[str, tuple[int, int]]:
    """Element type and height and width that the model takes; without any word on it, those of the digits."""
    if not args.input and not loaded.input_shapes:
        return args.dtype or "float32", (8, 8)
    specs = specs_of(loaded, args)
    if len(specs) != 1 or specs[0].rank != 4 or specs[0].shape[1] != 1 or not specs[0].is_float:
        found = ", ".join(map(str, specs))
        raise ShapeError(f"the digits are images of one channel: one --input N,1,H,W in floating point, got {found}")
    return specs[0].dtype, (specs[0].shape[2], specs[0].shape[3])
