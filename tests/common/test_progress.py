from __future__ import annotations

import io
import sys

import pytest

from convir.common import progress
from convir.common.progress import WorkProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, patience):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", patience)
    with WorkProgress("compiling", 3) as bar:
        for _ in range(3):
            bar.advance()
    return stream.getvalue()


def test_a_bar_on_a_terminal_after_a_while(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert "compiling" in shown(monkeypatch, Terminal(), -1)


@pytest.mark.parametrize(("stream", "patience"), [(Terminal, 60), (io.StringIO, -1)])
def test_nothing_where_it_is_quick_or_nobody_looks(monkeypatch, stream, patience):
    assert shown(monkeypatch, stream(), patience) == ""


def test_no_standard_error_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(progress, "PATIENCE", -1)
    with WorkProgress("compiling", 2) as bar:
        bar.advance()
    assert bar.done == 1
