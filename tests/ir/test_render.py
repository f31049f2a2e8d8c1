import stat
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from support.picture_nets import HOSTILE, convnet, hostile, joint, lowered, stacked

from convir.ir import ConvirError, UnsupportedError
from convir.ir.drawing import render as render_module
from convir.ir.drawing.render import draw, notebook_display

SVG = "{http://www.w3.org/2000/svg}"
MAGIC = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF"}


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """No programs on the path."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture
def no_graphviz(monkeypatch, no_dot):
    """Neither the dot program nor pygraphviz."""
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """Puts a shell script in the place of the dot program."""

    def install(script: str):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "dot"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return install


@pytest.fixture
def wheel(no_dot):
    """Only pygraphviz draws; skipped where it is not installed."""
    pytest.importorskip("pygraphviz")


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "SVG"])
def test_the_suffix_chooses_the_format(tmp_path, suffix):
    path = convnet().render(tmp_path / f"net.{suffix}")
    assert path == tmp_path / f"net.{suffix}"
    assert path.read_bytes().startswith(MAGIC[suffix.lower()])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("graph", [convnet(), lowered(), joint(), stacked()], ids=lambda graph: graph.name)
def test_the_svg_holds_every_node_cluster_and_type(tmp_path, graph):
    root = ElementTree.parse(graph.render(tmp_path / "net.svg")).getroot()
    titles = {title.text for title in root.iter(f"{SVG}title")}
    text = "".join(f"{item.text}\n" for item in root.iter(f"{SVG}text"))
    assert {value.name for value in graph.values()} <= titles
    assert any(title.startswith("cluster_") for title in titles)
    for node in graph.nodes:
        assert node.op.name in text
        assert str(node.outputs[0].type) in text


@pytest.mark.usefixtures("wheel")
def test_the_page_is_white_so_that_it_is_readable_on_any_other(tmp_path):
    root = ElementTree.parse(convnet().render(tmp_path / "net.svg")).getroot()
    assert next(root.iter(f"{SVG}polygon")).get("fill") == "white"


@pytest.mark.usefixtures("wheel")
def test_options_reach_the_drawing(tmp_path):
    root = ElementTree.parse(convnet().render(tmp_path / "net.svg", flops={"fc": 3_000_000}, params=False)).getroot()
    text = {item.text.strip() for item in root.iter(f"{SVG}text")}
    assert "3.0 MFLOP" in text
    assert "features.0.weight" not in text


@pytest.mark.usefixtures("wheel")
def test_rows_of_the_legend_do_not_stretch_each_other(tmp_path):
    four, six = convnet(), convnet()
    # Without the view there is one row.
    four = four.replace(nodes=tuple(node for node in four.nodes if node.name != "flatten"))
    places = []
    for graph in (four, six):
        root = ElementTree.parse(graph.render(tmp_path / "net.svg")).getroot()
        texts = [(item.text.strip(), float(item.get("x"))) for item in root.iter(f"{SVG}text")]
        row = {text: x for text, x in texts if text in ("convolution", "matmul", "pooling", "activation")}
        places.append([x - row["convolution"] for x in row.values()])
        assert len(row) == 4
        assert ("view: nothing is copied" in dict(texts)) == (graph is six)
        first = dict(reversed(texts))
        signs = [("∗", "convolution"), ("⇄", "layout")]  # noqa: RUF001 - the convolution sign
        widths = [first[word] - first[sign] for sign, word in signs[: 1 + (graph is six)]]
        assert max(widths) < 20, "the second row is as narrow as it can be, too"
    assert places[0] == pytest.approx(places[1], abs=0.5)


@pytest.mark.usefixtures("wheel")
def test_hostile_names_are_drawn_as_they_are(tmp_path):
    root = ElementTree.parse(hostile().render(tmp_path / "net.svg")).getroot()
    written = [item.text.strip() for item in root.iter(f"{SVG}text")]
    text = set(written)
    # A label that Graphviz cannot parse is lost, with its second line.
    assert written.count("mul") == len(HOSTILE)
    plain = {name for name in HOSTILE if name.isprintable() and len(name) < 40 and name.strip()}
    assert len(plain) > 12
    assert plain <= text
    link = "{http://www.w3.org/1999/xlink}title"
    tooltips = "\n".join(item.get(link) for item in root.iter(f"{SVG}a"))
    assert "\\N\\G = mul(" in tooltips
    assert not list(root.iter(f"{SVG}script"))


@pytest.mark.usefixtures("wheel")
def test_drawing_writes_nothing_to_the_terminal(tmp_path, capfd):
    convnet().render(tmp_path / "net.png")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    for name in ("net.gif", "net", "svg"):
        with pytest.raises(UnsupportedError, match=r"must be one of \.svg, \.png, \.pdf"):
            convnet().render(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_and_not_made(tmp_path):
    with pytest.raises(UnsupportedError, match=r"there is no folder .*missing"):
        convnet().render(tmp_path / "missing" / "net.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_one_line_says_how_to_get_it(tmp_path):
    with pytest.raises(UnsupportedError) as caught:
        convnet().render(tmp_path / "net.svg")
    assert "apt install graphviz" in str(caught.value)
    assert "pip install 'convir[render]'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_graphviz")
def test_dot_text_needs_no_graphviz():
    assert convnet().to_dot().startswith("digraph")


def test_the_dot_program_is_preferred(tmp_path, fake_dot):
    fake_dot('cat > "$0.in"; echo "<svg>$@</svg>"')
    assert convnet().render(tmp_path / "net.svg").read_text() == "<svg>-Kdot -Tsvg</svg>\n"
    assert (tmp_path / "bin" / "dot.in").read_text() == convnet().to_dot()


def test_a_failing_dot_program_leaves_the_old_file_and_says_why(tmp_path, fake_dot):
    fake_dot('cat > /dev/null; echo "Error: out of ink" >&2; exit 1')
    target = tmp_path / "net.svg"
    target.write_text("before")
    with pytest.raises(ConvirError, match="Graphviz could not draw the graph: Error: out of ink"):
        convnet().render(target)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "net.svg"]


@pytest.mark.usefixtures("wheel")
def test_a_failure_inside_pygraphviz_is_one_error_of_ours():
    with pytest.raises(ConvirError, match="Graphviz could not draw the graph: "):
        draw("digraph {", "svg")


@pytest.mark.usefixtures("wheel")
def test_a_drawing_of_pygraphviz_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(render_module, "_DRAW", "import time; time.sleep(600)")
    with pytest.raises(ConvirError, match=r"did not finish within 0.2 seconds; draw less of the graph with depth="):
        draw("digraph {}", "svg", patience=0.2)


def test_a_drawing_of_the_dot_program_that_takes_too_long_is_given_up(fake_dot):
    fake_dot("cat > /dev/null; exec sleep 20; echo late")
    with pytest.raises(ConvirError, match=r"did not finish within 0.2 seconds; draw less of the graph with depth="):
        draw("digraph {}", "svg", patience=0.2)


def test_a_dot_program_that_draws_nothing_has_failed(fake_dot):
    fake_dot("cat > /dev/null")
    with pytest.raises(ConvirError, match="Graphviz could not draw the graph: it gave no reason"):
        draw("digraph {}", "svg")


def test_a_dot_that_is_no_program_is_as_good_as_none(fake_dot, monkeypatch, tmp_path):
    fake_dot("")
    (tmp_path / "bin" / "dot").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(UnsupportedError, match="apt install graphviz"):
        draw("digraph {}", "svg")


@pytest.mark.usefixtures("wheel")
def test_a_notebook_gets_text_and_a_bare_svg_element():
    shown = convnet()._repr_mimebundle_()
    assert shown["text/plain"] == str(convnet())
    assert shown["image/svg+xml"].startswith("<svg")
    ElementTree.fromstring(shown["image/svg+xml"])


@pytest.mark.usefixtures("no_graphviz")
def test_a_notebook_gets_text_where_nothing_can_be_drawn():
    assert notebook_display(convnet()) == {"text/plain": str(convnet())}


@pytest.mark.parametrize("failure", [OSError("full"), subprocess.TimeoutExpired("dot", 1), ValueError("no <svg")])
def test_a_notebook_never_sees_a_drawing_fail(monkeypatch, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(render_module, "draw", fail)
    assert notebook_display(convnet()) == {"text/plain": str(convnet())}


def test_a_notebook_shows_even_a_broken_graph():
    broken = convnet().replace(outputs=(None,))
    assert list(notebook_display(broken)) == ["text/plain"]


def test_a_notebook_collapses_a_large_graph(monkeypatch):
    drawn = []
    monkeypatch.setattr(render_module, "draw", lambda dot, *_: drawn.append(dot) or b"<svg/>")
    assert "image/svg+xml" in notebook_display(stacked(200))
    assert '"net.1"' in drawn[0]
    assert '"net.1.a"' not in drawn[0]
