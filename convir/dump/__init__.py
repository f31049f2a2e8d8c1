"""Every stage of a compilation as files: text, pictures, and a page that puts them side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convir.dump.folder import replace_folder
from convir.dump.page import make_page
from convir.ir import ConvirError
from convir.passes.manager import Pass, Stage, numbered

__all__ = ["Dump", "dump"]


@dataclass(frozen=True)
class Dump:
    """What was written.

    Attributes:
        folder: where it is.
        files: names of the files in it, ``index.html`` first.
        not_drawn: why there are no pictures of some stages; empty if there are.
    """

    folder: Path
    files: tuple[str, ...]
    not_drawn: str


def dump(
    stages: Sequence[Stage],
    folder: str | os.PathLike[str],
    *,
    title: str = "",
    passes: Sequence[Pass] = (),
    progress: Callable[[str], object] = lambda stem: None,
) -> Dump:
    """Write each stage as ``03_fuse_relu.txt`` and ``.svg``, and ``index.html`` to look at them.

    The page needs no network and no other file. Where a stage cannot be drawn, it says so and shows
    the text. The folder appears complete or not at all; an earlier dump in its place is replaced.

    Args:
        stages: of a compiled model.
        folder: where to; its parent must exist.
        title: heading of the page; the graph's name unless given.
        passes: what made the stages; their docstrings' equations are shown.
        progress: called with the file stem of each stage before it is drawn.

    Raises:
        ConvirError: ``folder`` holds something else than an earlier dump, or cannot be written.
    """
    pictures, not_drawn = _pictures(stages, progress)
    html = make_page(stages, pictures, title or stages[0].graph.name, _equations(passes), not_drawn)
    files = {"index.html": html.encode()}
    for stem, stage in numbered(stages):
        files[f"{stem}.txt"] = f"{stage}\n".encode()
        if stem in pictures:
            files[f"{stem}.svg"] = pictures[stem]
    return Dump(replace_folder(Path(folder), files), tuple(files), not_drawn)


def _pictures(stages: Sequence[Stage], progress: Callable[[str], object]) -> tuple[dict[str, bytes], str]:
    """File stem -> SVG of what can be drawn, and why the rest cannot. A graph that did not change is drawn once."""
    from convir.ir.drawing.render import draw

    drawn: dict[str, bytes] = {}
    pictures: dict[str, bytes] = {}
    not_drawn = ""
    for stem, stage in numbered(stages):
        dot = stage.graph.to_dot()
        try:
            if dot not in drawn:
                progress(stem)
                drawn[dot] = draw(dot, "svg")
            pictures[stem] = drawn[dot]
        except ConvirError as error:
            not_drawn = str(error)
    return pictures, not_drawn


def _equations(passes: Sequence[Pass]) -> dict[str, str]:
    """Pass name -> the first line of its docstring, which is its equation."""
    documented = {each.name: (type(each).__doc__ or "").strip().splitlines() for each in passes}
    return {name: lines[0].replace("``", "") for name, lines in documented.items() if lines}
