"""The picture of a comparison."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

import convir
from convir.comparison import plot as module
from convir.comparison.report import Comparison, ComparisonRow

pytest.importorskip("matplotlib")


def made(error: float | None = 1e-7) -> Comparison:
    names = [("conv", "naive", 0.5), ("conv", "im2col", 1e-4), (None, "naive", 0.6), (None, "im2col", 2e-4)]
    rows = [
        ComparisonRow(
            layer, "conv2d", lowering, 10, 512, 4096, seconds, seconds * 0.9, seconds * 1.2, 5, error, seconds / 1e-4
        )
        for layer, lowering, seconds in names
    ]
    return Comparison("net", (("x", "f32[1]"),), False, "float64 loop nest", tuple(rows))


def test_it_shows_layers_lowerings_and_axes(tmp_path):
    path = made().plot(tmp_path / "plot.svg")
    assert path == tmp_path / "plot.svg"
    drawn = path.read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    for text in ("conv", "whole net", "naive", "im2col", "net(x: f32[1]), forward", "100 us", "4 KiB", "5,000x"):
        assert f"<!-- {text} -->" in drawn
    assert [entry.name for entry in tmp_path.iterdir()] == ["plot.svg"]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(tmp_path, suffix, magic):
    assert made().plot(tmp_path / f"plot.{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize("error", [0.0, None])
def test_without_any_error_there_is_no_axis_to_fail(tmp_path, error):
    assert "<!-- no difference -->" in made(error).plot(tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize(
    ("name", "message"), [("plot.jpg", "suffix must be one of .svg, .png, .pdf"), ("no/plot.svg", "there is no folder")]
)
def test_bad_paths(tmp_path, name, message):
    with pytest.raises(convir.UnsupportedError, match=message):
        made().plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(convir.UnsupportedError, match=r"pip install 'convir\[plot\]'"):
        made().plot(tmp_path / "plot.svg")
