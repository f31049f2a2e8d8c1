"""The outcome in words."""

from __future__ import annotations

from dataclasses import replace

from convir.comparison.report import ComparisonRow
from convir.comparison.verdict import verdict


def row(lowering: str, seconds: float, peak: int = 4096, error: float | None = 1e-7, best: float = 1e-3):
    return ComparisonRow(None, "", lowering, 1, 0, peak, seconds, seconds, seconds, 9, error, seconds / best)


def test_the_price_of_the_fastest():
    rows = [row("fast", 1e-3, 8192, 1e-5), row("small", 2e-3, 4096), row("exact", 5e-3, 6000, 1e-8)]
    assert verdict(rows) == (
        "fast is the fastest, 1.00 ms: 2.00x as fast as small, 5.00x as fast as exact. It takes 8.00 KiB, 2.00x the "
        "memory of small, which takes least, and is 3.0 digits less exact than exact, the most exact (1.0e-08)."
    )


def test_nothing_to_pay():
    rows = [row("a", 1e-3, 4096, 1.1e-7), row("b", 2e-3, 4096, 1e-7)]
    assert verdict(rows) == (
        "a is the fastest, 1.00 ms: 2.00x as fast as b. It takes the least memory, 4.00 KiB, and is as exact as any "
        "(error 1.1e-07)."
    )


def test_what_is_about_equal_is_no_slower():
    close = replace(row("b", 1.05e-3), seconds_lower=0.95e-3, seconds_upper=1.2e-3)
    fast = replace(row("a", 1e-3), seconds_upper=1.02e-3)
    assert verdict([fast, close]).startswith("a is the fastest, 1.00 ms, about equal with b. It takes")
    closer = replace(close, lowering="c", seconds=1.01e-3)
    assert "about equal with c and b: 512x as fast as d." in verdict([fast, close, closer, row("d", 0.512)])


def test_of_many_the_next_and_the_last_are_named():
    rows = [row(name, (index + 1) * 1e-3) for index, name in enumerate("abcdef")]
    assert verdict(rows).startswith("a is the fastest, 1.00 ms: 2.00x as fast as b, 6.00x as fast as f.")


def test_errors_that_are_not_known():
    assert verdict([row("a", 1e-3, error=None), row("b", 2e-3)]).endswith("It takes the least memory, 4.00 KiB.")
    exact = verdict([row("a", 1e-3, error=1e-7), row("b", 2e-3, error=0.0)])
    assert "9.0 digits less exact than b, the most exact (0.0e+00)" in exact


def test_one_alone_has_no_verdict():
    assert verdict([row("a", 1e-3)]) == ""


def test_an_extrapolated_winner_is_marked():
    assert "a is the fastest, ~1.00 ms" in verdict([replace(row("a", 1e-3), extrapolated_from=1), row("b", 1.0)])
