"""What happened in a fit, epoch by epoch."""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convir.common.files import write_atomically
from convir.common.table import Column, TextTable, format_seconds
from convir.ir import UnsupportedError

#: Name and version of what :meth:`History.to_json` returns.
SCHEMA = "convir.history/1"

_NONE = "-"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data.

    Attributes:
        number: 1, 2, ...
        train_loss: mean over the samples, each measured just before the update by its batch.
        train_accuracy: share of the samples classified right, measured at the same time; None where
            there are no classes.
        test_loss: mean over the test data after the epoch; None without test data.
        test_accuracy: share of the test data classified right; None without test data or classes.
        seconds: wall time of the training alone, without the evaluation.
    """

    number: int
    train_loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class History:
    """Every epoch of a fit; prints as a table.

    Attributes:
        epochs: in order; see :class:`Epoch`.
    """

    epochs: tuple[Epoch, ...]

    @property
    def last(self) -> Epoch:
        """The last epoch: how it ended."""
        return self.epochs[-1]

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types; accuracies are shares from 0 to 1, times seconds."""
        return {"schema": SCHEMA, "epochs": [asdict(epoch) for epoch in self.epochs]}

    def table(self) -> TextTable:
        """A row an epoch."""
        return TextTable(
            [
                Column("epoch", "right"),
                Column("train\nloss", "right"),
                Column("train\naccuracy", "right", optional=2),
                Column("test\nloss", "right", optional=1),
                Column("test\naccuracy", "right"),
                Column("time", "right", optional=3),
            ],
            [_row(epoch) for epoch in self.epochs],
        )

    def __str__(self) -> str:
        return self.table().text()

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw loss and accuracy over the epochs to a file, ``.svg``, ``.png`` or ``.pdf``; returns the path.

        Raises:
            UnsupportedError: another suffix, or matplotlib is not installed.
            OSError: the folder does not exist or is not writable.
        """
        suffix = Path(path).suffix.lower().removeprefix(".")
        if suffix not in ("svg", "png", "pdf"):
            raise UnsupportedError(f"cannot plot to {Path(path).name!r}: the suffix must be .svg, .png or .pdf")
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            raise UnsupportedError("plotting needs matplotlib; pip install 'convir[plot]'") from None
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        for axes, kind in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            self._draw(axes, kind)
        content = io.BytesIO()
        figure.savefig(content, format=suffix)
        return write_atomically(path, content.getvalue())

    def _draw(self, axes: Any, kind: str) -> None:
        numbers = [epoch.number for epoch in self.epochs]
        for name in ("train", "test"):
            values = [getattr(epoch, f"{name}_{kind}") for epoch in self.epochs]
            if None not in values:
                axes.plot(numbers, values, marker=".", label=name)
        axes.set(xlabel="epoch", ylabel=kind)
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()


def percent(share: float | None) -> str:
    """A share as a percentage with two decimals, ``98.61 %``; ``-`` for None."""
    return _NONE if share is None else f"{share:.2%}".replace("%", " %")


def _row(epoch: Epoch) -> list[str]:
    return [
        str(epoch.number),
        f"{epoch.train_loss:.4g}",
        percent(epoch.train_accuracy),
        _NONE if epoch.test_loss is None else f"{epoch.test_loss:.4g}",
        percent(epoch.test_accuracy),
        format_seconds(epoch.seconds),
    ]
