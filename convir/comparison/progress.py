"""How far a comparison is, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convir.common.progress import passing_bar


class Progress:
    """Shows nothing; the base of what does."""

    def expect(self, steps: int) -> None:
        """So many more steps are to come."""

    def advance(self, text: str, steps: int = 1) -> None:
        """So many steps are done, or not needed, and ``text`` says of what."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done within may show a bar of its own: compiling loops, measuring strategies."""
        yield


class Bar(Progress):
    """A bar over all steps that are expected so far."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._total = bar, 0
        self._task = bar.add_task("", total=None)

    def expect(self, steps: int) -> None:
        """Make the bar longer."""
        self._total += steps
        self._bar.update(self._task, total=self._total)

    def advance(self, text: str, steps: int = 1) -> None:
        """Move the bar."""
        self._bar.update(self._task, advance=steps, description=text)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without the bar: a terminal has room for one."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


@contextmanager
def progress_on(wanted: bool | None) -> Iterator[Progress]:
    """What shows a comparison: a bar on standard error if ``wanted``, or None and that is a terminal."""
    if wanted is False or (wanted is None and not (sys.stderr is not None and sys.stderr.isatty())):
        yield Progress()
        return
    with _rich_bar() as bar:
        yield Bar(bar)


def _rich_bar() -> Any:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return passing_bar(BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
