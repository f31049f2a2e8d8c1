"""``convir compile --dump``: the folder and the page."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import convir as library
from convir import zoo
from convir.dump import dump
from convir.dump import folder as folder_module
from convir.dump import page as page_module
from convir.ir import ConvirError, UnsupportedError
from convir.ir.drawing import render
from convir.ir.text_html import marked_up

SHAPE = (1, 1, 8, 8)


@pytest.fixture(scope="module")
def compiled():
    return library.compile(zoo.digits_cnn(), SHAPE)


@pytest.fixture
def drawn(monkeypatch):
    """Pictures without Graphviz; the list of what was drawn."""
    calls: list[str] = []

    def draw(dot: str, format: str, patience: float = 0) -> bytes:
        calls.append(dot)
        return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" id="%d"/>' % len(calls)

    monkeypatch.setattr(render, "draw", draw)
    return calls


class Page(HTMLParser):
    """The tags of a page, checked to be balanced."""

    VOID = ("meta", "img", "br", "input", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open[-1:]:
            self.text.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_stage_as_text_and_picture(compiled, drawn, tmp_path):
    written = dump(compiled.stages, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(written.files)
    stems = [f"{index:02d}_{stage.name}" for index, stage in enumerate(compiled.stages)]
    assert names == sorted(["index.html", *(f"{stem}.{kind}" for stem in stems for kind in ("txt", "svg"))])
    for stem, stage in zip(stems, compiled.stages, strict=True):
        assert (tmp_path / "out" / f"{stem}.txt").read_text() == f"{stage}\n"
    # A graph that did not change is drawn once.
    assert len(drawn) == len({stage.graph.to_dot() for stage in compiled.stages}) < len(stems)
    assert written.not_drawn == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_page_holds_everything_and_loads_nothing(compiled, drawn, tmp_path):
    passes = library.pipeline()
    dump(compiled.stages, tmp_path / "out", title="a < b & c", passes=passes)
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert page.text["h1"] == ["a < b & c"]
    assert page.text["title"] == ["a < b & c: stages"]
    stems = [section["id"] for section in page.all("section")]
    assert stems == [f"{index:02d}_{stage.name}" for index, stage in enumerate(compiled.stages)]
    assert [link["href"] for link in page.all("a")[: len(stems)]] == [f"#{stem}" for stem in stems]
    pictures = [image["src"] for image in page.all("img")]
    assert len(pictures) == len(stems)
    for stem, picture in zip(stems, pictures, strict=True):
        svg = (tmp_path / "out" / f"{stem}.svg").read_bytes()
        assert picture == "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    assert not page.all("link")
    assert not re.search(r"""(src|href)=["'](https?:|//)|@import|url\(""", text)
    assert all(image["alt"] for image in page.all("img"))
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert "relu(conv2d(x, w, b))" in "".join(page.text["p"])


def test_without_graphviz_the_page_says_so_and_shows_the_text(compiled, monkeypatch, tmp_path):
    def draw(dot: str, format: str, patience: float = 0) -> bytes:
        raise UnsupportedError("drawing needs <Graphviz>")

    monkeypatch.setattr(render, "draw", draw)
    written = dump(compiled.stages, tmp_path / "out")
    assert written.not_drawn == "drawing needs <Graphviz>"
    assert not list((tmp_path / "out").glob("*.svg"))
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert "Not every stage could be drawn: drawing needs <Graphviz>" in page.text["p"]
    assert not page.all("img")
    assert text.count("This stage could not be drawn.") == len(compiled.stages)
    assert "conv1.im2col" in "".join(page.text["b"])


def lines(*names: str) -> list[str]:
    return [f"  {name} = relu(x) : f32[1]   # {name}" for name in names]


def test_changes_are_by_content_and_not_by_alignment_or_origin():
    changes = page_module._changes
    assert changes(lines("a", "b"), lines("a", "b")) == (frozenset(), frozenset())
    assert changes(lines("a", "b", "c"), lines("a", "d", "c")) == ({1}, {1})
    assert changes(lines("a"), lines("a", "b")) == (frozenset(), {1})
    assert changes(["  a = relu(x) : f32[1]    # a"], ["  a = relu(x) : f32[1]   # a <- fuse"]) == (set(), set())


def test_the_text_marks_what_each_pass_changed(compiled):
    stages = compiled.stages
    panels = {panel.stem: panel for panel in page_module._panels(stages, {})}
    fused, before = panels["03_fuse_relu"], panels["02_eliminate_common_subexpressions"]
    added = [fused.lines[index].split(" = ")[0].strip() for index in sorted(fused.added)]
    gone = [before.lines[index].split(" = ")[0].strip() for index in sorted(before.gone)]
    assert "conv1" in added
    assert "relu1" in gone
    assert "relu1" not in added
    assert panels["00_trace"].added == frozenset()
    # The halves: nothing of the forward half is gone in the backward one, they stand side by side.
    assert panels["13_split_forward"].gone == frozenset()
    assert len(panels["14_split_backward"].added) < len(panels["14_split_backward"].lines)


@pytest.mark.parametrize(
    ("line", "html"),
    [
        (
            "  a.b = conv2d(x, w, padding=(1, 1)) : f32[1,2]   # a <- fuse_relu",
            "<b>a.b</b> = <i>conv2d</i>(x, w, padding=(1, 1)) <s>: f32[1,2]</s> <small>a ← fuse_relu</small>",
        ),
        ("  a, b = split(x) : f32[1], f32[1]", "<b>a, b</b> = <i>split</i>(x) <s>: f32[1], f32[1]</s>"),
        ("  return a", "<b>return a</b>"),
        ("graph <lambda>(x: f32[1]) -> f32[1]:", "<b>graph &lt;lambda&gt;(x: f32[1]) -&gt; f32[1]:</b>"),
    ],
)
def test_marked_up_lines(line, html):
    assert marked_up(line) == html


def test_an_earlier_dump_is_replaced(compiled, drawn, tmp_path):
    dump(compiled.stages, tmp_path / "out")
    dump(compiled.stages[:2], tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_used(compiled, drawn, tmp_path):
    (tmp_path / "out").mkdir()
    dump(compiled.stages[:1], tmp_path / "out")
    assert (tmp_path / "out" / "index.html").is_file()


def contents(path: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in path.iterdir() if each.is_file()}


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {"index.html": "<p>mine"},
        {"00_trace.txt": "mine"},
        {"index.html": folder_module.GENERATOR, "notes.txt": "mine"},
        {"index.html": folder_module.GENERATOR, "00_trace.png": "mine"},
    ],
)
def test_other_peoples_files_are_left_alone(compiled, drawn, tmp_path, files):
    (tmp_path / "out").mkdir()
    for name, text in files.items():
        (tmp_path / "out" / name).write_text(text)
    with pytest.raises(ConvirError, match="holds other files"):
        dump(compiled.stages[:1], tmp_path / "out")
    assert contents(tmp_path / "out") == files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_places_that_cannot_be_written(compiled, drawn, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConvirError, match="it is a file"):
        dump(compiled.stages[:1], tmp_path / "file")
    with pytest.raises(ConvirError, match="there is no folder"):
        dump(compiled.stages[:1], tmp_path / "no" / "such")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConvirError, match="cannot replace the current folder"):
        dump(compiled.stages[:1], ".")


def test_a_failure_on_the_way_leaves_the_earlier_dump(compiled, drawn, tmp_path, monkeypatch):
    dump(compiled.stages[:1], tmp_path / "out")
    before = contents(tmp_path / "out")
    rename = os.rename

    def failing(source, target):
        if Path(source).name == "fresh":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(folder_module.os, "rename", failing)
    with pytest.raises(ConvirError, match=r"cannot write .*out: No space left on device"):
        dump(compiled.stages, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command(convir, drawn, folder):
    run = convir("compile", "digits_cnn", "--dump", "stages", "--inference")
    assert run.status == 0
    assert run.out.rstrip().endswith(f"stages in stages: open {Path('stages', 'index.html')}")
    run = convir("compile", "digits_cnn", "--dump", "stages", "--json")
    data = json.loads(run.out)
    assert data["dump"]["folder"] == "stages"
    assert sorted(data["dump"]["files"]) == sorted(path.name for path in (folder / "stages").iterdir())
    assert "digitscnn: 15 stages" in (folder / "stages" / "index.html").read_text()


def test_the_command_without_graphviz(convir, monkeypatch):
    def draw(dot: str, format: str, patience: float = 0) -> bytes:
        raise UnsupportedError("drawing needs Graphviz")

    monkeypatch.setattr(render, "draw", draw)
    run = convir("compile", "digits_cnn", "--dump", "stages")
    assert run.status == 0
    assert run.err == "note: no pictures of some stages: drawing needs Graphviz\n"
