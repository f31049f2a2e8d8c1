"""The page of a sweep: what is in it, and that it is the sweep's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.html_page import Element, parsed

import convir
from convir.comparison.page import make_sweep_page
from convir.comparison.report import ComparisonRow
from convir.comparison.sweep_report import Sweep, SweepPoint
from convir.ir.drawing import render

LAYER = convir.conv_layer(4, 4, 3, 8)
NAMES = ("im2col", "pointwise", "winograd_2x2", "auto")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Pictures without Graphviz."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" id="graph0" width="8pt" height="9pt" viewBox="0 0 8 9"/>'
    monkeypatch.setattr(render, "draw", lambda dot, format, patience=0: svg)


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return convir.sweep(LAYER, "kernel", [1, 3, 5], lowerings=NAMES, repeats=2, threads=1)


@pytest.fixture
def page(swept) -> Element:
    return parsed(make_sweep_page(swept))


def plot(page: Element, name: str) -> Element:
    return next(each for each in page.all("svg", "plot") if each.attributes["aria-label"] == name)


def row(lowering: str, seconds: float, **more) -> ComparisonRow:
    made = ComparisonRow(None, "", lowering, 1, 512, 1024, seconds, seconds * 0.99, seconds * 1.01, 9, 1e-7)
    return replace(made, **more)


def made(times: dict[str, dict[int, float]], **more) -> Sweep:
    values = sorted({value for each in times.values() for value in each})
    rows = [
        (value, row(name, each[value], **more)) for value in values for name, each in times.items() if value in each
    ]
    return Sweep("size", "a <b>layer</b>", tuple(SweepPoint(*each) for each in rows))


def test_the_outcome_comes_first_in_the_sweep_s_own_words(swept, page):
    header = page.all("header")[0]
    assert [item.text for item in header.one("ul", "verdict").all("li")] == swept.sentences()
    assert "by kernel" in header.all("h1")[0].text
    facts = {each.all("dt")[0].text: each.all("dd")[0].text for each in header.all("dl")[0].children}
    assert facts["Layer"] == swept.layer
    assert facts["Kernel"] == "1, 3, 5"
    assert facts["Run"] == "forward"
    assert facts["Run by"] == "numpy, 1 thread, the batch in one piece"


def test_lines_have_a_mark_for_every_point_and_predictions_are_dashed(swept, page):
    time = plot(page, "Time")
    titles = [mark.attributes["data-t"] for mark in time.one("g", "marks").all("path", "mark")]
    for point in swept.points:
        assert sum(title.startswith(f"{point.row.lowering}, kernel {point.value}: ") for title in titles) == 1
    assert len(titles) == len(swept.points)
    predicted = {point.row.lowering for point in swept.points if point.row.predicted_seconds is not None}
    assert len(time.all("polyline", "expected")) == len(predicted) == 4
    assert "Dashed: predicted." in page.one("section", id="sweep").text


def test_without_predictions_nothing_is_dashed():
    page = parsed(make_sweep_page(made({"a": {1: 1e-3, 2: 2e-3}, "b": {1: 2e-3, 2: 1e-3}})))
    assert not page.all("polyline", "expected")
    assert "Dashed" not in page.text


def test_places_follow_the_figures():
    page = parsed(make_sweep_page(made({"a": {8: 1e-3, 16: 4e-3}, "b": {8: 1e-4, 16: 2e-4}})))
    lines = {each.attributes["data-s"]: each for each in plot(page, "Time").one("g", "marks").children}
    points = {
        index: [tuple(map(float, place.split(","))) for place in line.all("polyline")[0].attributes["points"].split()]
        for index, line in lines.items()
    }
    (ax, ay), (bx, by) = points["0"]
    assert ax < bx
    assert ay > by
    assert [x for x, _ in points["1"]] == [ax, bx]
    titles = [mark.attributes["data-t"] for mark in lines["0"].all("path", "mark")]
    assert titles == ["a, size 8: 1 ms", "a, size 16: 4 ms"]


def test_what_is_far_slower_lies_at_the_edge_and_presses_nothing_together():
    times = {"a": {1: 1e-3, 2: 2e-3, 3: 4e-3}, "b": {1: 1e-3, 2: 2e-3, 3: 3e-3}, "naive": {1: 9.0, 2: 20.0}}
    page = parsed(make_sweep_page(made(times)))
    marks = plot(page, "Time").one("g", "marks").all("path", "mark")
    far = [mark.attributes["data-t"] for mark in marks if "far" in mark.classes]
    assert far == ["naive, size 1: 9 s", "naive, size 2: 20 s"]
    lines = plot(page, "Time").one("g", "marks").children
    assert [len(line.all("polyline")) for line in lines if line.attributes["data-s"] == "2"] == [0]
    assert "far beyond the axis" in page.one("section", id="sweep").text
    assert "far beyond" not in parsed(make_sweep_page(made({"a": times["a"]}))).text


def test_the_matrix_has_times_by_value_the_fastest_marked_and_what_was_chosen(swept, page):
    table = page.one("section", id="times").all("table")[0]
    assert [cell.text for cell in table.all("thead")[0].all("th")] == ["kernel", "1", "3", "5"]
    for line, name in zip(table.all("tbody")[0].children, NAMES, strict=True):
        assert line.children[0].text.strip() == name
        for cell, value in zip(line.children[1:], swept.values, strict=True):
            found = swept.rows[name].get(value)
            if found is None:
                assert cell.text == "\u2013"
                continue
            assert float(cell.attributes["data-v"]) == pytest.approx(found.seconds, rel=1e-5)
            assert ("best" in cell.classes) == (name in swept.fastest(value))
            assert [each.text for each in cell.all("small")] == list(found.chosen)
    absent = [item.text for item in page.one("section", id="times").all("ul", "absences")[0].all("li")]
    assert absent == swept.absences()


def test_every_point_is_in_the_table(swept, page):
    table = page.one("section", id="points").all("table")[0]
    headings = [cell.text for cell in table.all("thead")[0].all("th")]
    lines = [line.children for line in table.all("tbody")[0].children]
    assert [(cells[0].text, cells[1].text.split()[0]) for cells in lines] == [
        (str(point.value), point.row.lowering) for point in swept.points
    ]
    place = headings.index("time")
    assert [float(cells[place].attributes["data-v"]) for cells in lines] == pytest.approx(
        [point.row.seconds for point in swept.points], rel=1e-5
    )
    assert {"predicted", "scratch", "peak", "error"} <= set(headings)
    assert "weights" not in headings


def test_beneath_is_the_layer_as_it_was_given_in_the_colours_of_the_sweep(swept, page):
    assert swept.detail.value == 3
    detail = page.all("header", "detail")[0]
    assert detail.all("h2")[0].text == "Kernel 3 in full: 4 filters 3x3 of f32[1,4,8,8], padding (1, 1)"
    names = [line.children[0].text.split()[0] for line in page.one("section", id="whole").all("tbody")[0].children]
    assert names == ["im2col", "winograd_2x2", "auto"]
    shown = [line.attributes["data-s"] for line in page.one("section", id="whole").all("tbody")[0].children]
    assert shown == ["0", "2", "3"]
    assert len(page.all("ul", "legend")) == 1
    assert len(page.one("ul", "legend").all("li")) == 4


def test_or_the_last_value():
    swept = convir.sweep(LAYER, "kernel", [5, 1], lowerings=["im2col", "pointwise"], repeats=1, threads=1)
    assert swept.detail.value == 5
    only = convir.sweep(LAYER, "kernel", [5, 1], lowerings=["pointwise"], repeats=1, threads=1)
    assert only.detail.value == 1
    assert [each.value for each in only.left_out] == [5]


def test_names_are_text(swept):
    page = parsed(make_sweep_page(made({"<i>": {1: 1e-3}})))
    assert "a <b>layer</b>" in page.text
    assert not page.all("i")
    assert not page.all("header", "detail")


def test_the_file_appears_complete(swept, tmp_path):
    path = swept.to_html(tmp_path / "sweep.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["sweep.html"]
    assert re.match("<!DOCTYPE html>", path.read_text(encoding="utf-8"))
    with pytest.raises(convir.UnsupportedError, match="the suffix must be"):
        swept.to_html(tmp_path / "sweep.svg")
