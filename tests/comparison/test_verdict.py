"""The outcome in words."""

from __future__ import annotations

from dataclasses import replace

from convir.comparison.report import Comparison, ComparisonRow


def row(
    lowering: str,
    seconds: float,
    peak: int = 4096,
    error: float | None = 1e-7,
    best: float = 1e-3,
    layer: str | None = None,
    **more,
):
    made = ComparisonRow(layer, "conv2d" if layer else "", lowering, 1, 0, peak, seconds, seconds, seconds, 9, error)
    return replace(made, ratio=seconds / best, **more)


def verdict(rows, layers=()):
    """Of a net whose layers have these rows; of one that all lowerings compute, if there are none."""
    layers = list(layers) or [replace(each, layer="conv", op="conv2d") for each in rows]
    names = dict.fromkeys(each.layer for each in layers)
    return Comparison("net", (), False, "", (*layers, *rows), convolutions=names).verdict


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


def test_one_alone_has_nothing_to_be_compared_with():
    assert verdict([row("a", 1e-3)]) == "a takes 1.00 ms; there is nothing to compare it with."


def test_what_leaves_layers_to_others_is_no_rival_and_says_so_when_it_wins():
    left = {"computed_by": "b"}
    layers = [row("a", 2e-3, layer="x"), row("b", 3e-3, layer="x"), row("c", 1e-3, layer="x", **left)]
    said = verdict([row("a", 1e-3), row("b", 3e-3), row("c", 2e-3)], layers)
    assert said.startswith("a is the fastest, 1.00 ms: 3.00x as fast as b. It takes")
    said = verdict([row("a", 2e-3), row("b", 3e-3), row("c", 1e-3)], layers)
    assert said.startswith("c is the fastest, 1.00 ms: 2.00x as fast as a, 3.00x as fast as b. In it, 1 of 1 ")
    assert "convolutions are another strategy's." in said


def test_a_time_that_was_extrapolated_is_about_so_much():
    slow = replace(row("b", 0.5), extrapolated_from=0)
    assert verdict([row("a", 1e-3), slow]).startswith("a is the fastest, 1.00 ms: ~500x as fast as b.")


def test_who_chooses_the_fastest_is_told_apart_from_it():
    auto = row("auto", 1e-3, chosen=("b",))
    said = verdict([row("a", 2e-3), row("b", 1.1e-3), auto])
    assert said.startswith("b is the fastest, 1.10 ms: 1.82x as fast as a. It takes the least memory")
    assert said.endswith(" auto chooses it.")
    alone = verdict([row("a", 2e-3), auto])
    assert alone.startswith("auto (b) is the fastest, 1.00 ms: 2.00x as fast as a. It")


def test_who_chooses_is_behind_by_so_much_and_most_in_one_layer():
    layers = [
        *(row("a", 1e-3, layer="x"), row("b", 3e-3, layer="x"), row("auto", 1.5e-3, layer="x", chosen=("b",))),
        *(row("a", 4e-3, layer="y", best=4e-3), row("auto", 9e-3, layer="y", best=4e-3, chosen=("b",))),
        *(row("a", 9e-3, layer="z", best=8e-3), row("auto", 9.9e-3, layer="z", best=8e-3, chosen=("c",))),
        row("c", 8e-3, layer="z", best=8e-3),
    ]
    rows = [row("a", 1e-3), row("b", 3e-3), row("auto", 1.6e-3, chosen=("b", "c"))]
    assert verdict(rows, layers).endswith(" auto takes 1.60x as long; in y it takes 2.25x as long as a.")
    equal = [rows[0], rows[1], replace(rows[2], seconds=1.01e-3, seconds_lower=0.9e-3, seconds_upper=1.1e-3)]
    # Chosen rightly: a slower run of the very strategy is chance.
    right = [each for each in layers if each.layer == "z"]
    assert verdict(equal, right).endswith(" auto is about as fast.")
    said = verdict([*rows, row("measure", 1e-3, chosen=("a",))], right)
    assert said.startswith("a is the fastest, 1.00 ms: 3.00x as fast as b. ")
    assert said.endswith(" auto takes 1.60x as long. measure chooses it.")


def test_those_who_choose_among_themselves():
    said = verdict([row("auto", 1e-3, chosen=("a", "b")), row("measure", 2e-3, chosen=("a", "b"))])
    assert said.startswith("auto is the fastest, 1.00 ms: 2.00x as fast as measure. ")


def test_without_convolution_nothing_is_faster():
    rows = [row("a", 1e-3), row("b", 2e-3)]
    assert Comparison("net", (), False, "", tuple(rows)).verdict.startswith("There is no convolution to lower")


def test_an_extrapolated_winner_is_marked():
    assert "a is the fastest, ~1.00 ms" in verdict([replace(row("a", 1e-3), extrapolated_from=1), row("b", 1.0)])


def test_times_that_the_work_does_not_take_are_doubted():
    rows = [row("a", 30e-3, predicted_seconds=1e-3), row("b", 2e-3, predicted_seconds=1e-3), row("c", 9e-3)]
    said = verdict(rows)
    assert "But a takes more than 5 times what is predicted, as if other programs had the CPUs: compare again" in said
    assert "doubt" not in verdict(rows[1:])
    assert "But" not in verdict(rows[1:])
