"""Showing how far a fit is: a bar on a terminal, a line an epoch elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convir.common.table import format_seconds
from convir.training.evaluation import Tally
from convir.training.history import Epoch, percent

#: Columns of the terminal from which on there is a bar, and all figures.
_ROOM_FOR_BAR, _ROOM_FOR_ALL = 48, 80

_BLANK = " " * len("test 100.00 %")


class Progress:
    """Shows nothing; the base of those that do."""

    def batch(self, tally: Tally) -> None:
        """A batch is done; ``tally`` has the epoch's sums so far."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is done and evaluated."""


class Lines(Progress):
    """A line for each epoch, for files and pipes."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def epoch(self, epoch: Epoch) -> None:
        """Print the line."""
        count = f"{epoch.number:>{len(str(self._epochs))}}/{self._epochs}"
        print(f"epoch {count}  {_figures(epoch)}  {format_seconds(epoch.seconds)}", flush=True)


class Bar(Progress):
    """A bar over all batches, with the epoch under way and the latest figures."""

    def __init__(self, bar: Any, epochs: int, batches: int) -> None:
        self._bar, self._epochs = bar, epochs
        self._number = 1
        # All figures take their room from the beginning, so that the bar keeps its length.
        self._task = bar.add_task(
            "", total=epochs * batches, epoch=f"1/{epochs}", loss="-     ", train=_BLANK, test=_BLANK, shortest=_BLANK
        )

    def batch(self, tally: Tally) -> None:
        """Move the bar; the figures are those of the epoch under way."""
        now = tally.result()
        self._bar.update(
            self._task,
            advance=1,
            epoch=f"{self._number}/{self._epochs}",
            loss=f"{now.loss:.4f}",
            train=_labelled("train", now.accuracy),
        )

    def epoch(self, epoch: Epoch) -> None:
        """Show how the epoch ended on the test data."""
        test = _labelled("test", epoch.test_accuracy)
        shortest = _labelled("train", epoch.train_accuracy) if test == _BLANK else test
        self._bar.update(self._task, test=test, shortest=shortest)
        self._number = epoch.number + 1


@contextmanager
def progress_on(wanted: bool | None, epochs: int, batches: int) -> Iterator[Progress]:
    """What shows a fit of ``epochs`` times ``batches``.

    ``wanted`` is what the user asked for: True, False, or None for a bar only on a terminal.
    """
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if wanted is False or (wanted is None and not is_terminal):
        yield Progress()
    elif not is_terminal:
        yield Lines(epochs)
    else:
        with _rich_bar() as bar:
            yield Bar(bar, epochs, batches)


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console()
    texts = {name: TextColumn(f"{{task.fields[{name}]}}") for name in ("epoch", "train", "test", "shortest")}
    loss = TextColumn("loss {task.fields[loss]}")
    columns: list[ProgressColumn] = [texts["epoch"], loss, texts["shortest"]]
    if console.width >= _ROOM_FOR_BAR:
        columns = [TextColumn("epoch"), texts["epoch"], BarColumn(bar_width=None), loss, texts["shortest"]]
    if console.width >= _ROOM_FOR_ALL:
        columns[-1:] = [texts["train"], texts["test"], TimeRemainingColumn(elapsed_when_finished=True)]
    return RichProgress(*columns, console=console)


def _labelled(label: str, share: float | None) -> str:
    return _BLANK if share is None else f"{label} {percent(share):>8}"


def _figures(epoch: Epoch) -> str:
    parts = [f"loss {epoch.train_loss:.4f}", _known(epoch.train_accuracy)]
    if epoch.test_loss is not None:
        parts += [f"test {epoch.test_loss:.4f}", _known(epoch.test_accuracy)]
    return "  ".join(part for part in parts if part)


def _known(share: float | None) -> str:
    return "" if share is None else percent(share)
