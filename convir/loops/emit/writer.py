"""Python source, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Writer:
    """Collects indented lines and gives out names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0
        self._numbers: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Append one line at the current indentation."""
        self.lines.append("    " * self._depth + text if text else "")

    @contextmanager
    def indented(self, header: str) -> Iterator[None]:
        """``header``, and what is written inside below it."""
        self.line(header)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def loop(self, name: str, start: int, stop: int, step: int = 1) -> Iterator[None]:
        """``for name in range(...)``; a loop of one turn is an assignment."""
        if start + step >= stop:
            self.line(f"{name} = {start}")
            yield
            return
        numbers = [start, stop, step] if step != 1 else [start, stop] if start else [stop]
        with self.indented(f"for {name} in range({', '.join(map(str, numbers))}):"):
            yield

    def fresh(self, stem: str) -> str:
        """``stem0``, ``stem1``, ...: a name that was not given out before."""
        number = self._numbers.get(stem, 0)
        self._numbers[stem] = number + 1
        return f"{stem}{number}"

    def names(self) -> dict[str, int]:
        """The names given out so far."""
        return dict(self._numbers)

    def reuse(self, names: dict[str, int]) -> None:
        """Give out again what was given out since :meth:`names`: nobody uses it any more."""
        self._numbers = dict(names)

    def text(self) -> str:
        """Everything, with a trailing newline."""
        return "\n".join(self.lines) + "\n"
