"""The page of a comparison: what is in it, and that it is the comparison's."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from support.html_page import Element, parsed

import convir
from convir import nn
from convir.comparison.page import graphs, make_page
from convir.comparison.page.view import View
from convir.comparison.report import Comparison, LeftOut, Roofline
from convir.ir import UnsupportedError
from convir.ir.drawing import render

HOSTILE = "</script><script>alert(\"1\")</script> & '<b>' \ud800 \x00"


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.same = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(nn.functional.relu(self.same(self.second(self.first(x)))))


NAMES = ("naive", "im2col", "pointwise", "winograd_2x2")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """With every column that there will be."""
    convir.manual_seed(0)
    made = convir.compare(Net(), (2, 2, 6, 6), lowerings=NAMES, repeats=3)
    rows = [
        replace(
            row,
            multiplications=1000,
            bytes_moved=2000,
            intensity=0.5 + index / 10,
            predicted_seconds=row.seconds * 1.5 if index % 2 else None,
            allocated_bytes=row.peak_bytes,
            extrapolated_from=1 if row.lowering == "naive" else None,
        )
        for index, row in enumerate(made.rows)
    ]
    return replace(made, rows=tuple(rows), roofline=Roofline(80.0, 10.0, 50.0))


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """Pictures without Graphviz; what was drawn."""
    calls: list[str] = []

    def draw(dot: str, format: str, patience: float = 0) -> bytes:
        calls.append(dot)
        return b'<svg xmlns="http://www.w3.org/2000/svg" id="graph0" width="8pt" height="9pt" viewBox="0 0 8 9"/>'

    monkeypatch.setattr(render, "draw", draw)
    return calls


@pytest.fixture
def page(comparison, drawn) -> Element:
    return parsed(make_page(comparison))


def table_rows(section: Element) -> list[list[Element]]:
    table = section.all("table")[0]
    parts = [part for part in table.children if part.tag in ("tbody", "tfoot")]
    return [row.children for part in parts for row in part.children]


def headings(section: Element) -> list[str]:
    return [cell.text for cell in section.all("table")[0].all("thead")[0].all("th")]


def test_the_whole_net_has_every_figure_of_the_comparison(comparison, page):
    section = page.one("section", id="whole")
    columns = headings(section)
    assert columns[0] == "lowering"
    fields = {
        "time": "seconds",
        "ratio": "ratio",
        "predicted": "predicted_seconds",
        "error": "error",
        "scratch": "scratch_bytes",
        "peak": "peak_bytes",
        "allocated": "allocated_bytes",
        "FLOPs": "flops",
        "multiplications": "multiplications",
        "bytes moved": "bytes_moved",
        "intensity": "intensity",
    }
    assert set(fields) <= set(columns)
    for cells, row in zip(table_rows(section), comparison.totals, strict=True):
        assert cells[0].text.strip().removesuffix("†") == row.lowering
        for heading, name in fields.items():
            value, cell = getattr(row, name), cells[columns.index(heading)]
            if value is None:
                assert cell.text == "\u2013"
                assert "data-v" not in cell.attributes
            else:
                assert float(cell.attributes["data-v"]) == pytest.approx(value, rel=1e-5)
        marked = "best" in cells[columns.index("time")].classes
        assert marked == (row is comparison.best)


def test_columns_of_which_nothing_is_known_are_left_out(comparison, drawn):
    bare = [replace(row, predicted_seconds=None, intensity=None, bytes_moved=0) for row in comparison.rows]
    page = parsed(make_page(replace(comparison, rows=tuple(bare), roofline=None)))
    columns = headings(page.one("section", id="whole"))
    assert not {"predicted", "bytes moved", "intensity"} & set(columns)
    assert not [each for each in page.all("section") if each.attributes.get("id") == "roofline"]


def test_the_matrix_has_the_ratios_and_marks_the_best_that_computes_the_layer_itself(comparison, page):
    section = page.one("section", id="layers")
    assert headings(section)[2:] == list(NAMES)
    layers = [*comparison.convolutions, None]
    for cells, layer in zip(table_rows(section), layers, strict=True):
        assert cells[0].all("span")[0].text == (layer or "whole net")
        rows = [row for row in comparison.rows if row.layer == layer]
        fastest = min((row for row in rows if not row.computed_by), key=lambda row: row.seconds)
        for cell, row in zip(cells[2:], rows, strict=True):
            assert float(cell.attributes["data-v"]) == pytest.approx(row.ratio, rel=1e-5)
            assert ("best" in cell.classes) == (row is fastest)
            assert cell.text.startswith("†") == bool(row.computed_by)


def test_refused_layers_are_named_with_the_reason(page):
    (details,) = page.all("details", "refusals")
    assert [item.text for item in details.all("li")] == [
        "pointwise needs a 1x1 kernel, and this one is 3x3; computed by toeplitz: first, second and same",
        "winograd_2x2 saves nothing with a 1x1 kernel; computed by toeplitz: last",
    ]


def test_the_long_table_has_every_row(comparison, page):
    rows = table_rows(page.one("section", id="every"))
    found = [(cells[0].text, cells[2].text.strip().removesuffix("†")) for cells in rows]
    assert found == [(row.layer or "whole net", row.lowering) for row in comparison.rows]
    assert "extrapolated from a batch of 1" in rows[0][-1].text
    assert rows[0][3].text.startswith("≈")


def test_plots_have_a_mark_for_every_lowering_that_computes_a_layer(comparison, page):
    own = [row for row in comparison.rows if row.is_convolution and not row.computed_by]
    plots = {each.attributes["aria-label"]: each for each in page.all("svg", "plot")}
    for name in ("Time by layer", "Error by layer", "Roofline"):
        titles = [mark.attributes["data-t"] for mark in plots[name].all("path", "mark")]
        for row in own:
            assert sum(title.startswith(f"{row.layer}, {row.lowering}:") for title in titles) == 1
        assert len(titles) == len(own)
    bars = plots["Time of the whole net"].all("g", "bar")
    assert [bar.attributes["data-t"].split(":")[0] for bar in bars] == [f"whole net, {name}" for name in NAMES]
    assert ["outlined" in bar.classes for bar in bars] == [True, False, False, False]
    assert sum(bool(bar.all("path", "predicted")) for bar in bars) == 2
    assert len(plots["Roofline"].all("line", "roof")) == 3


def test_every_plot_is_xml_with_all_of_it_in_the_drawing(comparison, drawn):
    text = make_page(comparison)
    plots = re.findall(r'<svg [^>]*class="plot".*?</svg>', text, re.DOTALL)
    assert len(plots) == 7
    for plot in plots:
        root = ElementTree.fromstring(plot)
        width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
        for element in root.iter():
            place = re.match(r"translate\(([-\d.]+),([-\d.]+)\)", element.attrib.get("transform", ""))
            if place:
                assert 0 <= float(place[1]) <= width
                assert 0 <= float(place[2]) <= height


def test_the_slowest_layer_first_and_equal_ones_once(comparison, page, drawn):
    view = View(comparison)
    headings = [each.text for each in page.one("section", id="graphs").all("h3")]
    assert len(headings) == len(graphs.distinct(view)) == 3
    (both,) = (text for text in headings if "same" in text)
    assert "second" in both.split(":")[0]

    def best(layer: str) -> float:
        return min(row.seconds for row in comparison.rows if row.layer == layer)

    slowest = max(comparison.convolutions, key=best)
    assert slowest == headings[0].split(":")[0].split(", ")[0]
    # Each of three layers under each lowering that takes it.
    assert len(drawn) == 3 * 4 - 2 - 1
    assert sum('"winograd_2x2"' in dot for dot in drawn) == 2
    assert len(page.one("section", id="graphs").all("figure", "refused")) == 3


def test_one_layer_is_drawn_however_little_room_there_is(comparison, drawn):
    assert len(list(graphs.drawn_layers(View(comparison), room=1))) == 1


def test_the_graphs_are_the_lowerings_own_with_gradients_if_the_comparison_has_them(comparison):
    layer = comparison.convolutions["second"]
    assert [node.op.name for node in graphs.lowered(layer, "naive", False).nodes].count("conv2d") == 1
    assert "im2col" in [node.op.name for node in graphs.lowered(layer, "im2col", False).nodes]
    folded = graphs.lowered(layer, "winograd_2x2", False, inference=True)
    live = graphs.lowered(layer, "winograd_2x2", False)
    assert "winograd_weight" in [node.op.name for node in live.nodes]
    assert "winograd_weight" not in [node.op.name for node in folded.nodes]
    joint = graphs.lowered(layer, "naive", True)
    assert {"conv2d", "conv2d_grad_input", "conv2d_grad_weight"} <= {node.op.name for node in joint.nodes}


def test_without_graphviz_the_graphs_are_text(comparison, monkeypatch):
    def draw(dot: str, format: str, patience: float = 0) -> bytes:
        raise UnsupportedError("drawing needs <Graphviz>")

    monkeypatch.setattr(render, "draw", draw)
    section = parsed(make_page(comparison)).one("section", id="graphs")
    assert "Not drawn, and so as text: drawing needs <Graphviz>" in section.all("p", "undrawn")[0].text
    assert any("im2col" in line.text for line in section.all("ol", "graph")[1].all("li"))


def test_the_verdict_is_the_comparison_s_with_signs_that_terminals_may_lack(comparison, drawn):
    rows = [replace(row, seconds=2e-5, ratio=1.0) if row.lowering == "im2col" else row for row in comparison.rows]
    made = replace(comparison, rows=tuple(rows))
    assert "im2col is the fastest, 20.0 us: " in made.verdict
    assert "~" in made.verdict
    said = parsed(make_page(made)).all("p", "verdict")[0].text
    assert said == made.verdict.replace("20.0 us", "20.0 \u00b5s").replace("~", "≈")


def test_nothing_to_lower_and_a_single_lowering(drawn):
    convir.manual_seed(0)
    relu = convir.compare(nn.ReLU(), (2, 3), repeats=1)
    assert "no convolution to lower" in parsed(make_page(relu)).all("p", "verdict")[0].text
    one = convir.compare(Net(), (1, 2, 6, 6), lowerings="im2col", repeats=1)
    assert "there is nothing to compare it with" in parsed(make_page(one)).all("p", "verdict")[0].text


def facts(page: Element) -> dict[str, str]:
    return {each.all("dt")[0].text: each.all("dd")[0].text for each in page.all("dl")[0].children}


def test_how_it_ran_and_what_is_missing_is_said(comparison, drawn):
    assert facts(parsed(make_page(comparison)))["Run by"] == "numpy, 1 thread, the batch in one piece"
    missing = (LeftOut("fft", "needs <more> memory"), LeftOut("direct", "is tired"))
    made = replace(comparison, left_out=missing, threads=4, backend="numba", backward=True)
    page = parsed(make_page(made))
    assert facts(page)["Run by"] == "numba, 4 threads for BLAS, the batch in one piece"
    assert facts(page)["Run"] == "forward and backward"
    *said, hint = [item.text for item in page.one("section", id="whole").all("ul", "absences")[0].all("li")]
    assert said[-2:] == ["fft is left out: it needs <more> memory.", "direct is left out: it is tired."]
    assert said[:-2] == [
        "naive: extrapolated from a batch of 1.",
        "pointwise: 3 of 4 convolutions computed by another strategy.",
        "winograd_2x2: 1 of 4 convolutions computed by another strategy.",
    ]
    assert hint.startswith("What is left out of the net may be the fastest for one of its layers")
    folded = parsed(make_page(replace(comparison, inference=True)))
    assert facts(folded)["Run"] == "forward, parameters folded"
    assert "weights" in headings(folded.one("section", id="whole"))


@pytest.mark.parametrize("inference", [False, True])
def test_what_is_drawn_is_folded_where_the_comparison_was(drawn, inference):
    layer = convir.conv_layer(2, 4, 3, 6)
    make_page(convir.compare_layer(layer, lowerings=["winograd_2x2"], repeats=1, threads=1, inference=inference))
    assert ["= winograd_weight(" in dot for dot in drawn] == [not inference]


def test_a_layer_by_itself_is_shown_once(drawn):
    layer = convir.conv_layer(2, 4, 3, 6)
    made = convir.compare_layer(layer, lowerings=["im2col", "winograd_2x2", "pointwise", "auto"], repeats=2, threads=1)
    page = parsed(make_page(made))
    sections = [each.attributes["id"] for each in page.all("section")]
    assert sections == ["whole", "roofline", "graphs", "meaning"]
    assert page.one("section", id="whole").all("h2")[0].text == "The layer"
    assert page.all("h1")[0].text == "Ways of computing 4 filters 3x3 of f32[1,2,6,6], padding (1, 1)"
    assert facts(page)["Layer"] == str(layer)
    assert "Model" not in facts(page)
    (absent,) = page.one("section", id="whole").all("ul", "absences")
    assert absent.text == "pointwise is left out: it needs a 1x1 kernel, and this one is 3x3."
    names = [cells[0].text.strip() for cells in table_rows(page.one("section", id="whole"))]
    assert names == ["im2col", "winograd_2x2", f"auto ({made.totals[-1].chosen[0]})"]
    assert "whole net" not in page.all("main")[0].text
    assert [each.text for each in page.one("section", id="graphs").all("h3")] == [str(layer)]


def test_the_choices_are_told_layer_by_layer(drawn):
    made = convir.compare(Net(), (2, 2, 6, 6), lowerings=["im2col", "auto"], repeats=2, threads=1)
    rows = [
        replace(row, chosen=("im2col" if row.layer in ("first", None) else "fft",)) if row.lowering == "auto" else row
        for row in made.rows
    ]
    rows[-1] = replace(rows[-1], chosen=("im2col", "fft"))
    made = replace(made, rows=tuple(rows))
    page = parsed(make_page(made))
    layers = page.one("section", id="layers")
    said = {
        cells[0].all("span")[0].text: [each.text for each in cells[-1].all("small")] for cells in table_rows(layers)
    }
    assert said == {"first": ["im2col"], "second": ["fft"], "same": ["fft"], "last": ["fft"], "whole net": []}
    (told,) = page.one("section", id="whole").all("ul", "absences")
    assert told.text == "auto chooses im2col for first; fft for second, same, last."
    titles = [mark.attributes["data-t"] for mark in page.all("path", "mark") if "data-t" in mark.attributes]
    assert any(title.startswith("first, auto: ") and "chose im2col" in title for title in titles)
    # What has a row of its own is neither drawn nor placed again; what has none is.
    figures = {
        panel.all("h3")[0].text.split(":")[0]: panel.all("figure")[-1]
        for panel in page.one("section", id="graphs").all("div", "layer")
    }
    assert "Chose im2col, and so computes what is drawn there." in figures["first"].text
    assert "auto (fft)" in figures["last"].text
    assert any('"fft"' in dot for dot in drawn)
    (roofline,) = [each for each in page.all("svg", "plot") if each.attributes["aria-label"] == "Roofline"]
    placed = [mark.attributes["data-t"] for mark in roofline.one("g", "marks").all("path", "mark")]
    assert [title.split(":")[0] for title in placed if ", auto:" in title] == [
        "second, auto",
        "same, auto",
        "last, auto",
    ]


def test_names_are_text_wherever_they_stand(comparison, drawn):
    rows = [replace(row, layer=row.layer and row.layer + HOSTILE, op=row.op) for row in comparison.rows]
    layers = {name + HOSTILE: layer for name, layer in comparison.convolutions.items()}
    inputs = ((HOSTILE, "f32[1]"),)
    made = replace(comparison, graph=HOSTILE, inputs=inputs, rows=tuple(rows), convolutions=layers)
    text = make_page(made)
    text.encode()
    page = parsed(text)
    plain = HOSTILE.replace("\ud800", "\ufffd").replace("\x00", "\ufffd")
    assert len(page.all("script")) == 1
    assert "alert" not in page.all("script")[0].text
    assert not [bold for bold in page.all("b") if bold.text.startswith("'")]
    assert plain in page.all("h1")[0].text
    assert plain in page.all("title")[0].text
    assert table_rows(page.one("section", id="every"))[0][0].text == f"first{plain}"
    assert any(plain in mark.attributes.get("data-t", "") for mark in page.all("path", "mark"))


def test_the_file_appears_complete(comparison, drawn, tmp_path):
    path = comparison.to_html(tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("name", "message"),
    [("page.pdf", "suffix must be .html or .htm"), ("no/page.html", "there is no folder")],
)
def test_bad_paths(comparison, tmp_path, name, message):
    with pytest.raises(convir.UnsupportedError, match=message):
        comparison.to_html(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place(comparison, tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(IsADirectoryError):
        comparison.to_html(tmp_path / "page.html")


def test_a_ratio_is_as_sure_as_its_time(comparison, drawn):
    rows = [replace(row, extrapolated_from=1 if row.lowering == "naive" else None) for row in comparison.rows]
    page = parsed(make_page(replace(comparison, rows=tuple(rows))))
    for section, place in (("whole", 0), ("every", 2)):
        table = page.one("section", id=section).all("table")[0]
        names = [head.text for head in table.all("thead")[0].all("th")]
        time, ratio = names.index("time"), names.index("ratio")
        for line in table.all("tbody")[0].all("tr"):
            cells = [cell for cell in line.children if cell.tag in ("th", "td")]
            marks = [cells[index].text.startswith("\u2248") for index in (time, ratio)]
            assert marks == [cells[place].text.strip() == "naive"] * 2
