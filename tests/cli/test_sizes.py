"""Numbers of bytes as users type them."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.cli.sizes import byte_count
from convir.common.table import format_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("65536", 65536),
        ("512B", 512),
        ("512 b", 512),
        ("64KiB", 65536),
        ("64 kib", 65536),
        (" 4MiB ", 4 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("2TiB", 2**41),
        ("9" * 400 + "KiB", int("9" * 400) * 1024),
    ],
)
def test_sizes(text, expected):
    assert byte_count(text) == expected


@pytest.mark.parametrize(
    "text", ["", "B", "4M", "4k", "4MB", "64KB", "1.5", "1.5B", "-1", "1e6", "4 PiB", "4MiBs", "٤"]
)
def test_what_is_no_size_or_may_be_two(text):
    with pytest.raises(ArgumentTypeError, match=r"is no number of bytes: write such as 65536, 64KiB, 4MiB or 1\.5GiB"):
        byte_count(text)


@given(st.integers(0, 10**14))
def test_what_reports_print_can_be_typed(size):
    """To three digits, as they print it."""
    assert byte_count(format_bytes(size)) == pytest.approx(size, rel=0.006)


@pytest.mark.parametrize("command", ["compile", "profile", "render --stage lower_conv"])
def test_the_memory_limit_is_a_size(convir, command):
    command, *stage = command.split()
    options = (*stage, "nets.py:net", "--input", "2,3,8,8", "--conv", "auto", "--memory-limit")
    assert "64KiB, 4MiB or 1.5GiB" in " ".join(convir(command, "--help").out.split())
    assert convir(command, *options, "4MiB").status == 0
    run = convir(command, *options, "4M")
    assert run.status == 2
    assert "--memory-limit: '4M' is no number of bytes" in run.err
    run = convir(command, *options, "0.001KiB")
    assert (run.status, "more than the limit of 1 B" in run.err) == (2, True)
