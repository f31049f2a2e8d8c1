"""The page's tables: lowerings of the whole net, layers by lowerings, and everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convir.common.markup import Markup, tag
from convir.comparison.page import text
from convir.comparison.page.cells import cell, figure_cells, figure_heading, heading, heat, name_cell, sortable
from convir.comparison.page.columns import Figure, known
from convir.comparison.page.view import REPLACED, View, ratio_of, time_of
from convir.comparison.report import ComparisonRow
from convir.comparison.table import name_of


def whole_table(view: View) -> Markup:
    """The lowerings of the whole net, a row each."""
    rows = view.layers[None]
    figures = [each for each in known(rows, view.comparison.inference) if each.heading != "runs"]
    body = [
        tag(
            "tr",
            _lowering(view, row),
            *figure_cells(row, figures, rows),
            data_s=_index(view, row),
        )
        for row in rows
    ]
    head = [heading("lowering"), *map(figure_heading, figures)]
    return sortable(f"lowerings of {view.whole}", head, body)


def details_table(view: View) -> Markup:
    """Every layer under every lowering; the whole net at the end."""
    figures = known(view.comparison.rows, view.comparison.inference)
    body: list[Markup] = []
    for layer, rows in view.layers.items():
        contenders = view.own(layer)
        body += [_details(view, row, figures, contenders) for row in rows]
    head = [*map(heading, ("layer", "op", "lowering")), *map(figure_heading, figures)]
    if any(map(view.remarks, view.comparison.rows)):
        head.append(tag("th", "remarks", scope="col", class_="remarks"))
    return sortable("all layers and lowerings", head, body, class_="details")


def matrix(view: View) -> Markup:
    """Convolutions by lowerings: how many times the best lowering's time each takes; the whole net at the end."""
    names = view.comparison.lowerings
    head = [
        heading("layer"),
        heading("best time", "median of the fastest lowering", number=True),
        *(heading(name, number=True) for name in names),
    ]
    body = [tag("tr", *_matrix_row(view, layer, names)) for layer in view.convolutions]
    foot = tag("tr", *_matrix_row(view, None, names), class_="total")
    return sortable("time over the best lowering's, by layer", head, body, class_="matrix", foot=foot)


def _matrix_row(view: View, layer: str | None, names: Sequence[str]) -> Iterator[Markup]:
    rows = {row.lowering: row for row in view.layers[layer]}
    problem = view.comparison.convolutions.get(layer or "")
    shape = [tag("small", str(problem))] if problem else []
    yield tag("th", tag("span", layer or view.whole), *shape, scope="row")
    fastest = min(view.own(layer) or rows.values(), key=lambda row: row.seconds)
    yield cell(time_of(fastest), fastest.seconds)
    for name in names:
        yield _ratio(view, rows[name], rows[name] is fastest) if name in rows else cell(text.UNKNOWN, None)


def _ratio(view: View, row: ComparisonRow, best: bool) -> Markup:
    sign = REPLACED if row.computed_by else ""
    chosen = [tag("small", name) for name in row.chosen if row.layer]
    return tag(
        "td",
        f"{sign}{ratio_of(row)}",
        *chosen,
        class_="best" if best else "replaced" if sign else None,
        data_v=row.ratio,
        style=heat(row.ratio),
        title=view.title(row),
    )


def _details(view: View, row: ComparisonRow, figures: Sequence[Figure], contenders: Sequence[ComparisonRow]) -> Markup:
    name = row.layer or view.whole
    cells = [*figure_cells(row, figures, contenders), *_remarks(view, row)]
    kind = "total" if row.layer is None else None if row.is_convolution else "other"
    op = tag("td", row.op or text.UNKNOWN)
    return tag("tr", tag("td", name), op, _lowering(view, row), *cells, class_=kind, data_s=_index(view, row))


def _index(view: View, row: ComparisonRow) -> str:
    return str(view.index[row.lowering])


def _lowering(view: View, row: ComparisonRow) -> Markup:
    replaced = bool(row.computed_by) or (row.layer is None and row.lowering in view.replaced)
    name = f"{row.lowering}{REPLACED}" if replaced else name_of(row)
    return name_cell(view.index[row.lowering], name)


def _remarks(view: View, row: ComparisonRow) -> list[Markup]:
    """The last column, where there is anything to remark on any row."""
    said = tag("td", "; ".join(view.remarks(row)), class_="remarks")
    return [said] if any(map(view.remarks, view.comparison.rows)) else []
