"""The page's tables: lowerings of the whole net, layers by lowerings, and everything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import text
from convir.comparison.page.columns import FIGURES, Figure, known
from convir.comparison.page.drawing import legend_mark
from convir.comparison.page.view import REPLACED, View, time_of
from convir.comparison.report import WHOLE, ComparisonRow

#: A lowering this many times slower than the best has the strongest colour.
_HOT = 16.0


def whole_table(view: View) -> Markup:
    """The lowerings of the whole net, a row each."""
    rows = view.layers[None]
    figures = known([each for each in FIGURES if each.heading != "runs"], rows)
    body = [
        tag(
            "tr",
            _lowering(view, row),
            *_figures(view, row, figures, rows),
            *_remarks(view, row, rows),
            data_s=_index(view, row),
        )
        for row in rows
    ]
    head = [_head("lowering"), *map(_figure_head, figures), *_remarks_head(view, rows)]
    return _table("lowerings of the whole net", head, body)


def details_table(view: View) -> Markup:
    """Every layer under every lowering; the whole net at the end."""
    figures = known(FIGURES, view.comparison.rows)
    body: list[Markup] = []
    for layer, rows in view.layers.items():
        contenders = view.own(layer)
        body += [_details(view, row, figures, contenders) for row in rows]
    head = [_head("layer"), _head("op"), _head("lowering"), *map(_figure_head, figures)]
    head += _remarks_head(view, view.comparison.rows)
    return _table("all layers and lowerings", head, body, class_="details")


def matrix(view: View) -> Markup:
    """Convolutions by lowerings: how many times the best lowering's time each takes; the whole net at the end."""
    names = view.comparison.lowerings
    head = [
        _head("layer"),
        _head("best time", "median of the fastest lowering", number=True),
        *(_head(name, number=True) for name in names),
    ]
    body = [tag("tr", *_matrix_row(view, layer, names)) for layer in view.convolutions]
    foot = tag("tr", *_matrix_row(view, None, names), class_="total")
    return _table("time over the best lowering's, by layer", head, body, class_="matrix", foot=foot)


def _matrix_row(view: View, layer: str | None, names: Sequence[str]) -> Iterator[Markup]:
    rows = {row.lowering: row for row in view.layers[layer]}
    problem = view.comparison.convolutions.get(layer or "")
    shape = [tag("small", str(problem))] if problem else []
    yield tag("th", tag("span", layer or WHOLE), *shape, scope="row")
    fastest = min(view.own(layer) or rows.values(), key=lambda row: row.seconds)
    yield _cell(time_of(fastest), fastest.seconds)
    for name in names:
        yield _ratio(view, rows[name], rows[name] is fastest) if name in rows else _cell(text.UNKNOWN, None)


def _ratio(view: View, row: ComparisonRow, best: bool) -> Markup:
    heat = min(math.log(max(row.ratio, 1.0)) / math.log(_HOT), 1.0)
    sign = REPLACED if row.computed_by else ""
    return tag(
        "td",
        f"{sign}{text.times(row.ratio)}",
        class_="best" if best else "replaced" if sign else None,
        data_v=row.ratio,
        style=f"--heat:{heat:.2f}",
        title=view.title(row),
    )


def _details(view: View, row: ComparisonRow, figures: Sequence[Figure], contenders: Sequence[ComparisonRow]) -> Markup:
    name = row.layer or WHOLE
    cells = [*_figures(view, row, figures, contenders), *_remarks(view, row, view.comparison.rows)]
    kind = "total" if row.layer is None else None if row.is_convolution else "other"
    op = tag("td", row.op or text.UNKNOWN)
    return tag("tr", tag("td", name), op, _lowering(view, row), *cells, class_=kind, data_s=_index(view, row))


def _index(view: View, row: ComparisonRow) -> str:
    return str(view.index[row.lowering])


def _lowering(view: View, row: ComparisonRow) -> Markup:
    replaced = bool(row.computed_by) or (row.layer is None and row.lowering in view.replaced)
    name = f"{row.lowering}{REPLACED if replaced else ''}"
    return tag("th", legend_mark(view.index[row.lowering]), " ", name, scope="row")


def _remarks_head(view: View, rows: Sequence[ComparisonRow]) -> list[Markup]:
    """A last column, where there is anything to remark."""
    return [tag("th", "remarks", scope="col", class_="remarks")] if any(map(view.remarks, rows)) else []


def _remarks(view: View, row: ComparisonRow, rows: Sequence[ComparisonRow]) -> list[Markup]:
    return [tag("td", "; ".join(view.remarks(row)), class_="remarks")] if any(map(view.remarks, rows)) else []


def _figures(
    view: View, row: ComparisonRow, figures: Sequence[Figure], contenders: Sequence[ComparisonRow]
) -> list[Markup]:
    cells = []
    for figure in figures:
        value = figure.value(row)
        best = not row.computed_by and value is not None and value == figure.best(contenders)
        cells.append(_cell(figure.show(row), value, "best" if best else None))
    return cells


def _cell(content: str, value: float | None, class_: str | None = None) -> Markup:
    return tag("td", content, class_=class_, data_v=value)


def _head(name: str, help: str = "", number: bool = False) -> Markup:
    return tag("th", name, scope="col", class_="number" if number else None, title=help or None)


def _figure_head(figure: Figure) -> Markup:
    return _head(figure.heading, figure.help, number=True)


def _table(caption: str, head: Sequence[str], body: Sequence[str], class_: str = "", foot: str = "") -> Markup:
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
