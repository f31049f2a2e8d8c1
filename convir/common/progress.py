"""A bar on the terminal for work that takes long enough to wonder."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

#: Seconds without a bar.
PATIENCE = 1.0


class WorkProgress:
    """Counts what is done; shows a bar on standard error if that is a terminal and :data:`PATIENCE` is over.

    Args:
        doing: what stands before the bar, such as ``compiling``.
        total: how much there is to do.
    """

    def __init__(self, doing: str, total: int) -> None:
        self.doing, self.total, self.done = doing, total, 0
        self._begin = time.perf_counter()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        self.show()

    def show(self) -> None:
        """Bring the bar up to date; to be called about once a second while nothing is done."""
        if self._bar is None and self._is_wanted():
            self._bar, self._task = _bar(self.doing, self.total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

    def _is_wanted(self) -> bool:
        late = time.perf_counter() - self._begin > PATIENCE
        return late and self.done < self.total and sys.stderr is not None and sys.stderr.isatty()


def _bar(doing: str, total: int) -> tuple[Any, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    bar = passing_bar(TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return bar, bar.add_task("", total=total)


def passing_bar(*columns: Any) -> Any:
    """A bar of Rich's on standard error, of these columns, that leaves nothing behind."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), transient=True)
