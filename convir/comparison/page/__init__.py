"""A comparison, or a sweep, as one page of HTML, which needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convir.common.files import require_writable, write_atomically
from convir.common.markup import Markup, joined, tag
from convir.common.page import document, resource
from convir.comparison.page.drawing import color_style, legend_mark
from convir.comparison.page.sections import comparison_sections, sweep_sections
from convir.comparison.page.summary import comparison_facts, sweep_facts
from convir.comparison.page.text import capitalised, typeset
from convir.comparison.page.view import View
from convir.comparison.report import Comparison
from convir.ir import UnsupportedError

if TYPE_CHECKING:
    from convir.comparison.sweep_report import Sweep

__all__ = ["make_page", "make_sweep_page", "require_page", "write_page", "write_sweep_page"]

SUFFIXES = (".html", ".htm")


def write_page(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write :func:`make_page` to the file ``path`` and return the path. It appears complete or not at all.

    Raises:
        UnsupportedError: another suffix than ``.html``, or no such folder.
        OSError: the folder is not writable.
    """
    return _write(path, lambda: make_page(comparison))


def write_sweep_page(sweep: Sweep, path: str | os.PathLike[str]) -> Path:
    """Write :func:`make_sweep_page` to the file ``path``, as :func:`write_page` does; raises the same."""
    return _write(path, lambda: make_sweep_page(sweep))


def _write(path: str | os.PathLike[str], make: Callable[[], str]) -> Path:
    target = require_page(path)
    return write_atomically(target, make())


def require_page(path: str | os.PathLike[str]) -> Path:
    """``path``; raises what :func:`write_page` would, before there is anything to write."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UnsupportedError(f"cannot write a page to {target.name!r}: the suffix must be {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise UnsupportedError(f"cannot write a page to {target}: there is no folder {target.parent}")
    require_writable(target)
    return target


def make_page(comparison: Comparison) -> str:
    """The verdict, tables that sort, plots, and the graphs of the slowest layers under every lowering."""
    view = View(comparison)
    what = comparison.layer or comparison.graph
    header = tag(
        "header",
        tag("h1", f"Ways of computing {what}"),
        tag("p", typeset(comparison.verdict), class_="verdict"),
        comparison_facts(view),
    )
    return _document(f"{what}: lowerings compared", header, _legend(comparison.lowerings), comparison_sections(view))


def make_sweep_page(sweep: Sweep) -> str:
    """Where one strategy overtakes another, plots and a table of all points; beneath, one of the values in full."""
    said = [tag("li", typeset(sentence)) for sentence in sweep.sentences()]
    header = tag(
        "header",
        tag("h1", f"Ways of computing a convolution, by {sweep.over}"),
        tag("ul", *said, class_="verdict"),
        sweep_facts(sweep),
    )
    sections = [*sweep_sections(sweep), *_detail(sweep)]
    return _document(f"{sweep.layer} by {sweep.over}", header, _legend(sweep.lowerings), sections)


def _detail(sweep: Sweep) -> list[Markup]:
    if sweep.detail is None:
        return []
    comparison = sweep.detail.comparison
    header = tag(
        "header",
        tag("h2", f"{capitalised(sweep.over)} {sweep.detail.value} in full: {comparison.layer}"),
        tag("p", typeset(comparison.verdict), class_="verdict"),
        class_="detail",
    )
    return [header, *comparison_sections(View(comparison, sweep.lowerings))]


def _document(title: str, header: Markup, legend: Markup, sections: list[Markup]) -> str:
    return document(
        title=title,
        body=joined(header, Markup("\n"), tag("main", legend, *sections)),
        style=color_style() + resource(__name__, "page.css"),
        script=resource(__name__, "page.js"),
    )


def _legend(lowerings: tuple[str, ...]) -> Markup:
    """The lowerings with their marks; the script makes them buttons that pick one out of all plots."""
    items = [tag("li", legend_mark(index), " ", name, data_s=str(index)) for index, name in enumerate(lowerings)]
    return tag("ul", *items, class_="legend", aria_label="lowerings")
