"""Text tables and numbers for people: the one place where reports become text.

Rich lays the tables out and is imported when the first one is made, so that importing convir stays cheap.
"""

from __future__ import annotations

import io
import math
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.box import Box
    from rich.table import Table as RichTable

#: Width where there is no terminal to ask: files, pipes, captured output.
DEFAULT_WIDTH = 120

_GAP = 2  # spaces between two columns
_EASY_FOLD = 32  # optional columns are left out before a foldable one gets narrower than this
_LEAST_FOLD = 14  # and then it keeps at least this


@dataclass(frozen=True)
class Column:
    """A column of a :class:`TextTable`.

    Attributes:
        name: heading; a newline in it makes a second heading line.
        justify: ``"right"`` for numbers.
        fold: text may continue on the next line where the table would be too wide; numbers never do.
        optional: 0 is always shown; of the others the highest is left out first on a narrow terminal.
    """

    name: str
    justify: Literal["left", "center", "right"] = "left"
    fold: bool = False
    optional: int = 0

    @property
    def label(self) -> str:
        """The heading on one line."""
        return " ".join(self.name.split())


@dataclass(frozen=True)
class TextTable:
    """Columns, rows of text, and what stands around them; :meth:`text` lays it out.

    Attributes:
        columns: see :class:`Column`.
        rows: one string a column; leading spaces are kept (they show a hierarchy).
        title: a line above.
        footer: one string a column, under a rule: the totals.
        notes: lines below, wrapped to the width.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    footer: Sequence[str] = ()
    notes: Sequence[str] = ()

    def text(self, width: int | None = None, color: bool = False) -> str:
        """The table as text, without a trailing newline.

        Args:
            width: columns to fill at most; the terminal's by default. The columns that are always
                shown are never cut, so the table may be wider than a very narrow terminal.
            color: emphasis as ANSI sequences; only for a terminal.
        """
        room = terminal_width() if width is None else width
        shown = self._columns_that_fit(room)
        widths = self._widths_that_fit(shown, room)
        lines = [wrapped(self.title, room)] if self.title else []
        lines.append(self._layout(shown, widths, color))
        hidden = [column.label for index, column in enumerate(self.columns) if index not in shown]
        if hidden:
            lines.append(wrapped(f"(not shown at this width: {', '.join(hidden)})", room))
        lines += [wrapped(note, room) for note in self.notes]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _columns_that_fit(self, room: int) -> list[int]:
        """Indices of the columns to show: optional ones go, highest first, until the rest fits."""
        shown = list(range(len(self.columns)))
        dispensable = sorted((i for i in shown if self.columns[i].optional), key=lambda i: self.columns[i].optional)
        while dispensable and _table_width(self._widths(shown, _EASY_FOLD)) > room:
            shown.remove(dispensable.pop())
        return shown

    def _widths_that_fit(self, shown: Sequence[int], room: int) -> list[int]:
        """Widths of the shown columns: whole if there is room, otherwise the widest foldable one gives way first."""
        widths, least = self._widths(shown, None), self._widths(shown, _LEAST_FOLD)
        while _table_width(widths) > room and widths != least:
            widest = max((w, -i) for i, w in enumerate(widths) if w > least[i])
            widths[-widest[1]] -= 1
        return widths

    def _widths(self, shown: Sequence[int], folded_to: int | None) -> list[int]:
        """Widths that the contents need, with foldable columns at most ``folded_to`` wide."""
        natural = [max(cell_width(line) for cell in self._cells(i) for line in cell.split("\n")) for i in shown]
        if folded_to is None:
            return natural
        return [min(w, folded_to) if self.columns[i].fold else w for i, w in zip(shown, natural, strict=True)]

    def _cells(self, index: int) -> list[str]:
        footer = [self.footer[index]] if self.footer else []
        return [self.columns[index].name, *(row[index] for row in self.rows), *footer]

    def _layout(self, shown: Sequence[int], widths: Sequence[int], color: bool) -> str:
        from rich.console import Console

        console = Console(
            file=io.StringIO(),
            width=_table_width(widths),
            color_system="standard" if color else None,
            force_terminal=color,
            force_jupyter=False,
            legacy_windows=False,
        )
        with console.capture() as captured:
            console.print(self._rich_table(shown, widths))
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    def _rich_table(self, shown: Sequence[int], widths: Sequence[int]) -> RichTable:
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        box = SIMPLE if _stdout_takes_unicode() else _ascii_box()
        table = Table(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_footer=bool(self.footer))
        for index, width in zip(shown, widths, strict=True):
            column = self.columns[index]
            footer = Text(_folded(self.footer[index], width)) if self.footer else ""
            heading = Text(_folded(column.name, width)) if column.fold else Text(column.name)
            table.add_column(heading, footer=footer, justify=column.justify, no_wrap=True, width=width)
        for row in self.rows:
            # Text and not str: a name like "[bold]" is not markup.
            table.add_row(*(Text(_folded(row[i], width)) for i, width in zip(shown, widths, strict=True)))
        return table


def cell_width(text: str) -> int:
    """Columns of the terminal that ``text`` takes."""
    from rich.cells import cell_len

    return cell_len(text)


def terminal_width() -> int:
    """Columns of the terminal (or of ``COLUMNS``); :data:`DEFAULT_WIDTH` where there is none."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns


def format_count(number: float) -> str:
    """A count with three significant digits and a decimal prefix; below 1000 an integer is exact.

    >>> format_count(1234567), format_count(999), format_count(999_999), format_count(0.125)
    ('1.23 M', '999', '1.00 M', '0.125')
    """
    return _scaled(number, 1000, ("", "k", "M", "G", "T", "P", "E"))


def format_bytes(number: float) -> str:
    """Bytes with three significant digits in binary units (1 KiB = 1024 B); below 1 KiB exact.

    >>> format_bytes(512), format_bytes(1536), format_bytes(138357544 * 4)
    ('512 B', '1.50 KiB', '528 MiB')
    """
    return _scaled(number, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def format_seconds(seconds: float) -> str:
    """A time with three significant digits; from two minutes on in minutes and seconds.

    >>> format_seconds(0.00123), format_seconds(2.5e-7), format_seconds(59.0), format_seconds(3725)
    ('1.23 ms', '250 ns', '59.0 s', '1 h 02 min')
    """
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return f"-{format_seconds(-seconds)}"
    if seconds == 0:
        return "0 s"
    if seconds < 119.95:
        return _below_minutes(seconds)
    if seconds < 3599.5:
        return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def _below_minutes(seconds: float) -> str:
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds / size < 999.5:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} s"


def _scaled(number: float, base: int, units: Sequence[str]) -> str:
    if not math.isfinite(number):
        return str(number)
    if number < 0:
        return f"-{_scaled(-number, base, units)}"
    if number < base and not isinstance(number, float):
        return f"{number} {units[0]}".rstrip()
    power, value = 0, float(number)
    # 999,999 rounds to 1.00 M and not to 1000 k.
    while value >= base - 0.5 and power < len(units) - 1:
        power, value = power + 1, value / base
    return f"{_three_digits(value)} {units[power]}".rstrip()


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    # The rounded value decides how many decimals remain: 9.999 is 10.0.
    rounded = float(f"{value:.3g}")
    decimals = max(2 - math.floor(math.log10(rounded)), 0)
    return f"{rounded if decimals else value:.{decimals}f}"


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _folded(text: str, width: int) -> str:
    """``text`` on lines of at most ``width``, broken after a separator where there is one, indentation kept."""
    indent = text[: len(text) - len(text.lstrip())]
    lines = []
    while cell_width(text) > width:
        cut = max((text.rfind(mark, len(indent) + 1, width) + 1 for mark in "._ ,/"), default=0)
        cut = cut if cut > len(indent) + 1 else width
        lines.append(text[:cut].rstrip())
        # A name indented by almost the whole width still gets room on the next line.
        text = indent[: width // 2] + text[cut:].lstrip()
    return "\n".join([*lines, text])


def wrapped(line: str, width: int | None = None) -> str:
    """``line`` on several of at most ``width`` columns, the terminal's by default; those that follow are indented."""
    width = terminal_width() if width is None else width
    indent = line[: len(line) - len(line.lstrip())] + "  "
    return "\n".join(textwrap.wrap(line, max(width, 40), subsequent_indent=indent, break_long_words=False))


def _stdout_takes_unicode() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "").startswith("utf")


def _ascii_box() -> Box:
    from rich.box import Box

    return Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)
