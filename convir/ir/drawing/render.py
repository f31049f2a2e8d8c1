"""Pictures: DOT text drawn to SVG, PNG or PDF by whatever Graphviz there is."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from convir.common.files import write_atomically
from convir.ir.drawing.dot import to_dot
from convir.ir.drawing.picture import picture
from convir.ir.errors import ConvirError, UnsupportedError

if TYPE_CHECKING:
    from convir.ir.drawing.flops import Flops
    from convir.ir.graph import Graph

FORMATS = ("svg", "png", "pdf")
_HOW_TO_GET = (
    "drawing needs Graphviz: apt install graphviz (or your system's package of that name) "
    "or pip install 'convir[render]'; the DOT text, to_dot(), needs neither"
)
#: Seconds after which a drawing is given up.
_PATIENCE = 300.0
_NOTEBOOK_PATIENCE = 20.0
#: A notebook does not wait for the layout of more boxes than this.
_NOTEBOOK_BOXES = 400
#: A screen has about twice the 96 pixels an inch that Graphviz assumes; text stays sharp.
_PNG_DPI = 144
#: Run apart: Graphviz is C, prints warnings past sys.stderr, and a bad layout could take Python with it.
_DRAW = """\
import sys, pygraphviz
drawing = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(drawing.draw(format=sys.argv[1], prog="dot"))
"""


def render(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    flops: Flops | None = None,
    depth: int | None = None,
    params: bool = True,
    direction: str = "TB",
    legend: bool = True,
    dpi: int | None = None,
) -> Path:
    """Draw ``graph`` to the file ``path``, as SVG, PNG or PDF by its suffix, and return the path.

    The drawing is made by the ``dot`` program if there is one, otherwise by pygraphviz, which brings
    Graphviz along. The file appears complete or not at all.

    Args:
        graph: the graph to draw.
        path: where to; an existing file is replaced.
        flops: FLOPs to show in the boxes: node name -> FLOPs, or the report of ``convir.estimate(graph)``.
        depth: draw each scope below this depth as one box.
        params: draw parameters.
        direction: ``"TB"``, top to bottom, or ``"LR"``, left to right.
        legend: explain the signs and outlines that occur.
        dpi: pixels an inch of a PNG; 144 unless given.

    Raises:
        UnsupportedError: another suffix, a folder that does not exist, no Graphviz, or an option out of range.
        ConvirError: Graphviz failed or took too long.
    """
    target = Path(path)
    suffix = target.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UnsupportedError(f"cannot draw to {target.name!r}: the suffix must be one of {known}")
    if not target.parent.is_dir():
        raise UnsupportedError(f"cannot draw to {target}: there is no folder {target.parent}")
    if suffix == "png" and dpi is None:
        dpi = _PNG_DPI
    dot = to_dot(graph, flops=flops, depth=depth, params=params, direction=direction, legend=legend, dpi=dpi)
    return write_atomically(target, draw(dot, suffix))


def draw(dot: str, format: str, patience: float = _PATIENCE) -> bytes:
    """DOT text drawn to one of :data:`FORMATS` within ``patience`` seconds.

    Raises:
        UnsupportedError: there is no Graphviz.
        ConvirError: Graphviz failed or took too long.
    """
    import graphviz

    try:
        return _run([str(graphviz.DOT_BINARY), "-Kdot", f"-T{format}"], dot, patience)
    except (FileNotFoundError, PermissionError):
        # There is no such program; pygraphviz's wheel has Graphviz inside.
        if find_spec("pygraphviz") is None:
            raise UnsupportedError(_HOW_TO_GET) from None
    return _run([sys.executable, "-c", _DRAW, format], dot, patience)


def notebook_display(graph: Graph) -> dict[str, str]:
    """What a notebook shows of ``graph``, by media type: always text, and SVG if it can be drawn.

    A graph of very many ops is drawn with its inner scopes collapsed, or not at all. Never raises.
    """
    shown = {"text/plain": _text(graph)}
    try:
        svg = draw(to_dot(graph, depth=_notebook_depth(graph)), "svg", _NOTEBOOK_PATIENCE).decode()
        # The page that shows it is no place for an XML declaration and a DOCTYPE.
        shown["image/svg+xml"] = svg[svg.index("<svg") :]
    except Exception:
        # Whatever went wrong, the text says what the picture would have said.
        return shown
    return shown


def _text(graph: Graph) -> str:
    """The text form, or for a graph too broken to be printed, what Python says of any object."""
    try:
        return str(graph)
    except Exception:
        return object.__repr__(graph)


def _notebook_depth(graph: Graph) -> int | None:
    """The deepest nesting with few enough boxes; raises UnsupportedError if there is none."""
    deepest = max((node.scope.count(".") for node in graph.nodes), default=0)
    depths: tuple[int | None, ...] = (None, *range(deepest, -1, -1))
    for depth in depths:
        if len(picture(graph, depth).boxes) <= _NOTEBOOK_BOXES:
            return depth
    raise UnsupportedError(f"graph {graph.name} is too large to be drawn in passing; call render() with depth=")


def _run(command: list[str], dot: str, patience: float) -> bytes:
    """What ``command`` makes of the DOT text, in a process of its own."""
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        hint = "draw less of the graph with depth= or params=False"
        raise ConvirError(f"Graphviz did not finish within {patience:g} seconds; {hint}") from None
    if done.returncode or not done.stdout:
        raise _failure(done.stderr)
    return done.stdout


def _failure(stderr: bytes | str | None) -> ConvirError:
    """The last thing Graphviz said, as an error of ours."""
    text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ConvirError(f"Graphviz could not draw the graph: {lines[-1] if lines else 'it gave no reason'}")
