"""Text tables at any width, and numbers for people."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.common import table as module
from convir.common.table import DEFAULT_WIDTH, Column, TextTable, format_bytes, format_count, format_seconds

NAMES = ["features.denseblock1.denselayer12.conv2", "  indented", "[bold]not markup[/bold] :smile:"]


def example(**changes) -> TextTable:
    parts = {
        "columns": [
            Column("layer", fold=True),
            Column("output", optional=1),
            Column("bytes\nread", "right", optional=2),
            Column("MACs", "right"),
        ],
        "rows": [[name, "f32[64,6,28,28]", "1.50 MiB", "123,456,789"] for name in NAMES],
        "title": "Title",
        "footer": ["total", "", "4.50 MiB", "370,370,367"],
        "notes": ["1 MAC = 2 FLOPs. " * 5],
    }
    return TextTable(**(parts | changes))


def test_a_table_with_room():
    rows = [["conv1", "f32[1]", "12 B", "7"], ["  relu", "f32[1]", "-", "-"]]
    assert example(rows=rows, notes=["a note"]).text(80).splitlines() == [
        "Title",
        "                   bytes",
        "layer   output      read         MACs",
        "─────────────────────────────────────",
        "conv1   f32[1]      12 B            7",
        "  relu  f32[1]         -            -",
        "─────────────────────────────────────",
        "total           4.50 MiB  370,370,367",
        "a note",
    ]


@pytest.mark.parametrize("width", range(40, 130, 5))
def test_no_line_is_too_wide_and_no_number_is_cut(width):
    text = example().text(width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("123,456,789") == 3


def test_optional_columns_go_in_order_and_are_named():
    assert "not shown" not in example().text(100)
    assert "(not shown at this width: bytes read)" in example().text(66)
    assert "(not shown at this width: output, bytes read)" in example().text(45)


def test_names_fold_after_a_separator_and_stay_whole():
    lines = example().text(40).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("features"))
    cells = [line[:27].rstrip() for line in lines[start : start + 2]]
    assert "".join(cells) == NAMES[0]
    assert cells[0].endswith(".")


def test_a_folded_name_keeps_its_indentation():
    table = TextTable([Column("layer", fold=True)], [["    " + "x" * 50]])
    assert table.text(24).splitlines()[2:] == ["    " + "x" * 20, "    " + "x" * 20, "    " + "x" * 10]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=60), st.integers(4, 60))
def test_folding_loses_nothing(text, width):
    lines = module._folded(text, width).split("\n")
    assert "".join(line.strip() for line in lines) == text.strip()


def test_names_are_not_markup():
    assert NAMES[2] in example().text(120)


def test_plain_text_has_no_escapes_and_colour_has():
    assert "\x1b" not in str(example())
    assert "\x1b[1m" in example().text(80, color=True)


def test_the_terminals_width_is_the_default(monkeypatch):
    monkeypatch.setenv("COLUMNS", "66")
    assert str(example()) == example().text(66)


def test_without_a_terminal_there_is_a_default_width():
    code = "from convir.common import table; print(table.terminal_width())"
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env=environment, text=True
    )
    assert int(result.stdout) == DEFAULT_WIDTH


def test_rules_are_ascii_where_the_output_takes_no_unicode(monkeypatch):
    monkeypatch.setattr(module, "_stdout_takes_unicode", lambda: False)
    text = example().text(80)
    assert text.isascii()
    assert "-----" in text


def test_an_empty_table_shows_its_headings():
    assert TextTable([Column("a"), Column("b", "right")], []).text(80).splitlines() == ["a  b", "────"]


def test_making_a_table_is_what_imports_rich():
    code = "import sys, convir.common.table; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1.00 k"),
        (1234567, "1.23 M"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (15_470_264_320, "15.5 G"),
        (-1500, "-1.50 k"),
        (0.125, "0.125"),
        (9.999, "10.0"),
        (32.0, "32.0"),
        (math.inf, "inf"),
    ],
)
def test_format_count(number, expected):
    assert format_count(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (1023 * 1024, "1023 KiB"),
        (1024**2 - 1, "1.00 MiB"),
        (5 * 1024**3, "5.00 GiB"),
        (3 * 1024**5, "3.00 PiB"),
    ],
)
def test_format_bytes(number, expected):
    assert format_bytes(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (2.5e-7, "250 ns"),
        (9.9999e-7, "1.00 us"),
        (0.00123, "1.23 ms"),
        (0.9996, "1.00 s"),
        (59.99, "60.0 s"),
        (119, "119 s"),
        (119.96, "2 min 00 s"),
        (125, "2 min 05 s"),
        (3599, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (-0.5, "-500 ms"),
        (math.nan, "nan"),
    ],
)
def test_format_seconds(seconds, expected):
    assert format_seconds(seconds) == expected


@given(st.floats(1e-3, 1e15))
def test_three_significant_digits_are_right(number):
    value, _, prefix = format_count(number).partition(" ")
    scale = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}[prefix]
    assert float(value) * scale == pytest.approx(number, rel=5.1e-3)
    assert len(value.replace(".", "").lstrip("0")) == 3
