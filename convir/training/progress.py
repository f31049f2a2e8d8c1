"""Showing how far a fit is: a bar on a terminal, a line an epoch elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convir.common.table import format_seconds
from convir.training.evaluation import Tally
from convir.training.history import Epoch, percent


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
    """A bar over all batches, with the epoch and its figures; what does not fit the width is left out."""

    def __init__(self, bar: Any, epochs: int, batches: int) -> None:
        self._bar, self._epochs = bar, epochs
        self._number = 1
        self._task = bar.add_task("", total=epochs * batches, epoch=f"1/{epochs}", figures="")

    def batch(self, tally: Tally) -> None:
        """Move the bar; the figures are those of the epoch under way."""
        now = tally.result()
        figures = f"loss {now.loss:.4f}" + ("" if now.accuracy is None else f"  {percent(now.accuracy)}")
        self._bar.update(self._task, advance=1, epoch=f"{self._number}/{self._epochs}", figures=figures)

    def epoch(self, epoch: Epoch) -> None:
        """Show the finished epoch's figures until the next batch."""
        self._bar.update(self._task, figures=_figures(epoch))
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
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console()
    columns: list[Any] = [TextColumn("epoch {task.fields[epoch]}"), BarColumn(bar_width=None)]
    columns.append(TextColumn("{task.fields[figures]}"))
    if console.width >= 80:
        columns.append(TimeRemainingColumn(elapsed_when_finished=True))
    return RichProgress(*columns, console=console, expand=False)


def _figures(epoch: Epoch) -> str:
    parts = [f"loss {epoch.train_loss:.4f}", _known(epoch.train_accuracy)]
    if epoch.test_loss is not None:
        parts += [f"test {epoch.test_loss:.4f}", _known(epoch.test_accuracy)]
    return "  ".join(part for part in parts if part)


def _known(share: float | None) -> str:
    return "" if share is None else percent(share)
