"""The page: stages side by side, what each pass changed marked in the text, pictures beside it."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from convir.common.page import document, resource
from convir.dump.folder import GENERATOR
from convir.ir.text_html import marked_up
from convir.passes.manager import Stage, numbered

_HOW_TO_READ = (
    "Added since the stage before: green, marked +. Gone in the stage after: red, marked &minus;. "
    "At the end of a line: the module it comes from, and the pass that made it."
)
_SPLITS = {
    "trace": "the graph as it was traced",
    "split_forward": "the half that a call runs, with what it keeps for the backward",
    "split_backward": "the half that runs from the cotangents to the gradients",
}


@dataclass(frozen=True)
class _Panel:
    """A stage with what the page says about it."""

    stem: str
    stage: Stage
    equation: str
    lines: Sequence[str]
    added: frozenset[int]
    gone: frozenset[int]


def make_page(
    stages: Sequence[Stage],
    pictures: Mapping[str, bytes],
    title: str,
    equations: Mapping[str, str],
    not_drawn: str,
) -> str:
    """One self-contained HTML page.

    Args:
        stages: in order.
        pictures: file stem -> SVG; stages that are not in it are shown as text only.
        title: heading.
        equations: pass name -> what it does.
        not_drawn: why there are no pictures of some stages.
    """
    panels = _panels(stages, equations)
    style, script = (resource("convir.dump", name) for name in ("page.css", "page.js"))
    warning = f'<p class="warning" role="note">Not every stage could be drawn: {escape(not_drawn)}</p>'
    body = "\n".join(
        [
            f"<header>\n<h1>{escape(title)}</h1>\n<p>{_HOW_TO_READ}</p>",
            *([warning] if not_drawn else []),
            _contents(panels),
            "</header>\n<main>",
            *(_section(panel, pictures.get(panel.stem)) for panel in panels),
            "</main>",
        ]
    )
    return document(title=f"{title}: stages", body=body, style=style, script=script, head=GENERATOR)


def _panels(stages: Sequence[Stage], equations: Mapping[str, str]) -> list[_Panel]:
    """Each stage with the lines that are not in the one before, and those that are not in the one after."""
    texts = [str(stage.graph).splitlines() for stage in stages]
    changes = [_changes(before, after) for before, after in pairwise(texts)]
    added = [frozenset[int](), *(change[1] for change in changes)]
    gone = [*(change[0] for change in changes), frozenset[int]()]
    # The halves of a split stand beside each other; the second does not come out of the first.
    names = [stage.name for stage in stages]
    if names[-2:] == ["split_forward", "split_backward"]:
        added[-1], gone[-2] = _changes(texts[-3], texts[-1])[1], frozenset()
        gone[-3] = _changes(texts[-3], [*texts[-2], *texts[-1]])[0]
    return [
        _Panel(stem, stage, equations.get(stage.name, _SPLITS.get(stage.name, "")), text, new, old)
        for (stem, stage), text, new, old in zip(numbered(stages), texts, added, gone, strict=True)
    ]


def _changes(before: Sequence[str], after: Sequence[str]) -> tuple[frozenset[int], frozenset[int]]:
    """Which lines of ``before`` are gone in ``after``, and which of ``after`` are new.

    Provenance and alignment do not count: a node that only moved in the text did not change.
    """
    bare_before, bare_after = ([_bare(line) for line in text] for text in (before, after))
    matcher = difflib.SequenceMatcher(None, bare_before, bare_after, autojunk=False)
    gone, added = set(range(len(before))), set(range(len(after)))
    for match in matcher.get_matching_blocks():
        gone -= set(range(match.a, match.a + match.size))
        added -= set(range(match.b, match.b + match.size))
    return frozenset(gone), frozenset(added)


def _bare(line: str) -> str:
    return line.split("   # ")[0].rstrip()


def _contents(panels: Sequence[_Panel]) -> str:
    items = []
    for panel in panels:
        changed = f" <small>+{len(panel.added)}</small>" if panel.added else ""
        quiet = "" if panel.added or panel is panels[0] else ' class="quiet"'
        items.append(
            f'<li{quiet}><a href="#{escape(panel.stem)}"><span>{escape(panel.stem[:2])}</span> '
            f"{escape(panel.stage.name)}{changed}</a></li>"
        )
    return f'<nav aria-label="Stages">\n<ol>\n{"".join(items)}\n</ol>\n</nav>'


def _section(panel: _Panel, picture: bytes | None) -> str:
    stem, stage = escape(panel.stem), panel.stage
    nodes = len(stage.graph.nodes)
    facts = f"{nodes} {'node' if nodes == 1 else 'nodes'}, {stage.seconds * 1e3:.1f} ms"
    changed = "" if panel.stem.startswith("00") else f", {_count(len(panel.added))}"
    return "\n".join(
        [
            f'<section id="{stem}" aria-labelledby="{stem}-name">',
            f'<h2 id="{stem}-name"><span>{stem[:2]}</span> {escape(stage.name)}</h2>',
            f'<p class="facts">{facts}{changed} · <a href="{stem}.txt">text</a>'
            + (f' · <a href="{stem}.svg">picture</a>' if picture else "")
            + "</p>",
            f'<p class="equation">{escape(panel.equation)}</p>',
            f'<ol class="graph">\n{"".join(_lines(panel))}</ol>',
            _figure(stage, picture),
            "</section>",
        ]
    )


def _count(added: int) -> str:
    if not added:
        return "no change"
    return f"{added} new {'line' if added == 1 else 'lines'}"


def _lines(panel: _Panel) -> Iterator[str]:
    for index, line in enumerate(panel.lines):
        marks = [name for name, which in (("added", panel.added), ("gone", panel.gone)) if index in which]
        attribute = f' class="{" ".join(marks)}"' if marks else ""
        yield f"<li{attribute}>{marked_up(line)}</li>\n"


def _figure(stage: Stage, picture: bytes | None) -> str:
    if picture is None:
        return '<p class="undrawn">This stage could not be drawn.</p>'
    data = base64.b64encode(picture).decode()
    name = escape(f"{stage.graph.name} after {stage.name}")
    return (
        f'<figure><img loading="lazy" alt="{name}, drawn as a graph" src="data:image/svg+xml;base64,{data}"></figure>'
    )
