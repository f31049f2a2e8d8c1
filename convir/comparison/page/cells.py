"""What the page's tables have in common: headings, cells, and the box that scrolls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from convir.common.markup import Markup, joined, tag
from convir.comparison.page.columns import Figure
from convir.comparison.page.drawing import legend_mark
from convir.comparison.report import ComparisonRow

#: A lowering this many times slower than the best has the strongest colour.
_HOT = 16.0


def cell(content: str, value: float | None, class_: str | None = None) -> Markup:
    """Text, and the number that rows are sorted by."""
    return tag("td", content, class_=class_, data_v=value)


def heat(ratio: float) -> str:
    """The style of a cell that is the darker, the slower its row is."""
    return f"--heat:{min(math.log(max(ratio, 1.0)) / math.log(_HOT), 1.0):.2f}"


def heading(name: str, help: str = "", number: bool = False) -> Markup:
    """The head of a column."""
    return tag("th", name, scope="col", class_="number" if number else None, title=help or None)


def figure_heading(figure: Figure) -> Markup:
    """The head of a column of figures."""
    return heading(figure.heading, figure.help, number=True)


def figure_cells(row: ComparisonRow, figures: Sequence[Figure], contenders: Sequence[ComparisonRow]) -> list[Markup]:
    """The figures of a row, the best of all contenders marked."""
    cells = []
    for figure in figures:
        value = figure.value(row)
        best = not row.computed_by and value is not None and value == figure.best(contenders)
        cells.append(cell(figure.show(row), value, "best" if best else None))
    return cells


def name_cell(index: int, name: str) -> Markup:
    """A lowering with its mark."""
    return tag("th", legend_mark(index), " ", name, scope="row")


def sortable(caption: str, head: Sequence[str], body: Iterable[str], class_: str = "", foot: str = "") -> Markup:
    """A table that the script makes sortable, in a box that scrolls."""
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", joined(*(joined(row, Markup("\n")) for row in body))),
        *([tag("tfoot", foot)] if foot else []),
        class_=f"sortable {class_}".strip(),
    )
    return tag("div", table, class_="scroll table", tabindex="0", role="region", aria_label=caption)
