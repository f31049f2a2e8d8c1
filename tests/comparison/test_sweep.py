"""sweep(): what varies, where strategies cross, what is shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import convir
from convir import ShapeError, UnsupportedError
from convir.cli.compare import SWEEPS
from convir.comparison.crossover import Crossover, crossovers
from convir.comparison.report import ComparisonRow, LeftOut
from convir.comparison.sweep_report import LeftOutAt, Sweep, SweepPoint
from convir.comparison.sweeps import AXES, varied

LAYER = convir.conv_layer(4, 8, 3, 12, batch=3)
NAMES = ["im2col", "pointwise", "winograd_4x4"]


def row(lowering: str, seconds: float, spread: float = 0.0, scratch: int = 1024) -> ComparisonRow:
    lower, upper = seconds * (1 - spread), seconds * (1 + spread)
    return ComparisonRow(None, "", lowering, 2_000_000, scratch, 4096, seconds, lower, upper, 10, 1e-7)


def made(times: dict[str, dict[int, float]], spread: float = 0.01) -> Sweep:
    values = sorted({value for each in times.values() for value in each})
    points = [
        SweepPoint(value, row(name, each[value], spread))
        for value in values
        for name, each in times.items()
        if value in each
    ]
    return Sweep("kernel", "a layer", tuple(points))


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return convir.sweep(LAYER, "kernel", [5, 1, 3], lowerings=NAMES, repeats=1, threads=1)


def test_what_varies():
    size = varied(LAYER, "size", [7])[7]
    assert (size.image.shape, size.weight, size.op) == ((3, 4, 7, 7), LAYER.weight, LAYER.op)
    batch = varied(LAYER, "batch", [5])[5]
    assert (batch.image.shape, batch.weight) == ((5, 4, 12, 12), LAYER.weight)
    kernel = varied(LAYER, "kernel", [5])[5]
    assert (kernel.weight.shape, kernel.op.padding, kernel.image) == ((8, 4, 5, 5), (2, 2), LAYER.image)
    channels = varied(LAYER, "channels", [6])[6]
    assert (channels.image.shape, channels.weight.shape) == ((3, 6, 12, 12), (12, 6, 3, 3))


def test_padding_that_does_not_keep_the_size_stays():
    layer = convir.conv_layer(1, 1, 3, 12, padding=0)
    assert varied(layer, "kernel", [4])[4].op.padding == (0, 0)
    dilated = convir.conv_layer(1, 1, 3, 12, dilation=2)
    assert varied(dilated, "kernel", [5])[5].op.padding == (4, 4)


def test_a_depthwise_layer_stays_depthwise_and_groups_stay():
    depthwise = varied(convir.conv_layer(4, 8, 3, 6, groups=4), "channels", [6])[6]
    assert (depthwise.op.groups, depthwise.weight.shape) == (6, (12, 1, 3, 3))
    grouped = varied(convir.conv_layer(4, 8, 3, 6, groups=2), "channels", [6])[6]
    assert (grouped.op.groups, grouped.weight.shape) == (2, (12, 3, 3, 3))


@pytest.mark.parametrize(
    ("over", "values"),
    [
        ("size", [3, 6, 12, 24]),
        ("batch", [1, 2, 3, 4, 8, 16]),
        ("kernel", [1, 3, 5, 7, 9]),
        ("channels", [1, 2, 4, 8]),
    ],
)
def test_usual_values(over, values):
    assert list(varied(LAYER, over)) == values


def test_usual_values_that_there_are_not_are_left_out():
    narrow = convir.conv_layer(3, 4, 3, 4, padding=0)
    assert list(varied(narrow, "kernel")) == [1, 3]
    assert list(varied(narrow, "size")) == [4, 8]
    assert list(varied(narrow, "channels")) == [3, 6]


def test_the_command_line_knows_what_can_vary():
    assert tuple(AXES) == SWEEPS


@pytest.mark.parametrize(
    ("over", "values", "error", "message"),
    [
        ("depth", None, UnsupportedError, "no sweep over 'depth'; there are: size, batch, kernel, channels"),
        ("size", [], UnsupportedError, "nothing to sweep size over"),
        ("size", [0], UnsupportedError, "a size of a sweep must be an integer of at least 1, got 0"),
        ("size", [True], UnsupportedError, "got True"),
        ("size", [8, 4, 8], UnsupportedError, "each size is compared once, but values has 8 twice"),
        ("kernel", [2], UnsupportedError, "a kernel of 2x2 has no middle"),
        ("channels", [3, 5], None, ""),
    ],
)
def test_bad_values(over, values, error, message):
    if error is None:
        assert varied(LAYER, over, values)
        return
    with pytest.raises(error, match=message):
        convir.sweep(LAYER, over, values, threads=1)


def test_sizes_that_do_not_go_together():
    with pytest.raises(ShapeError, match="with a size of 2: kernel 5x5 is larger"):
        varied(convir.conv_layer(1, 1, 5, 8, padding=0), "size", [8, 2])
    with pytest.raises(
        UnsupportedError, match="with 3 channels: 12 filters for 8 channels and groups=1 do not come to"
    ):
        varied(convir.conv_layer(8, 12, 3, 8), "channels", [3])


def test_points_are_those_of_the_layers(swept):
    assert swept.values == (1, 3, 5)
    assert [(point.value, point.row.lowering) for point in swept.points] == [
        *((1, "im2col"), (1, "pointwise")),
        *((3, "im2col"), (3, "winograd_4x4")),
        *((5, "im2col"), (5, "winograd_4x4")),
    ]
    for point in swept.points:
        if point.row.lowering == "im2col":
            assert point.row.flops == 2 * 3 * 8 * 144 * 4 * point.value**2
        assert point.row.allocated_bytes == point.row.peak_bytes
    assert [point.row.ratio for point in swept.points].count(1.0) == 3


def test_why_there_is_no_point(swept):
    assert [(each.value, each.left_out.lowering) for each in swept.left_out] == [
        (1, "winograd_4x4"),
        (3, "pointwise"),
        (5, "pointwise"),
    ]
    text = str(swept)
    assert "pointwise has no kernel 3, 5: it needs a 1x1 kernel, and this one is 3x3." in text
    assert text.count("winograd_4x4 has no kernel 1: it ") == 1


def test_reasons_that_differ_are_all_told():
    reasons = [(1, "saves nothing"), (7, "loses 2 digits"), (9, "loses 3 digits")]
    left_out = tuple(LeftOutAt(value, LeftOut("a", reason)) for value, reason in reasons)
    text = str(Sweep("kernel", "a layer", (SweepPoint(3, row("b", 1.0)),), left_out=left_out))
    assert "a has no kernel 1: it saves nothing.\na has no kernel 7, 9: it loses 2 digits." in text


def test_nothing_takes_the_layer_at_any_value():
    with pytest.raises(
        UnsupportedError, match=r"nothing that is named computes .* at any kernel: pointwise needs a 1x1"
    ):
        convir.sweep(LAYER, "kernel", [3, 5], lowerings=["pointwise"], threads=1)


def test_a_crossover_is_where_the_order_is_reversed():
    times = {"a": {1: 1.0, 3: 2.0, 5: 4.0}, "b": {1: 2.0, 3: 2.5, 5: 3.0}}
    (found,) = made(times).crossovers
    assert found == Crossover("b", "a", 3, 5)
    assert found.sentence("kernel") == "b overtakes a between kernel 3 and 5."


def test_times_that_overlap_are_about_equal():
    times = {"a": {1: 1.0, 3: 2.0, 5: 4.0}, "b": {1: 2.0, 3: 2.1, 5: 3.0}}
    (found,) = made(times, 0.05).crossovers
    assert found == Crossover("b", "a", 1, 5, (3,))
    assert found.sentence("kernel") == "b overtakes a between kernel 1 and 5 (about equal at 3)."
    assert made(times, 0.4).crossovers == ()
    assert "No strategy overtakes another." in str(made(times, 0.4))


def test_values_that_only_one_has_do_not_count():
    times = {"a": {1: 1.0, 3: 9.0, 5: 4.0}, "b": {1: 2.0, 5: 3.0, 7: 1.0}}
    assert made(times).crossovers == (Crossover("b", "a", 1, 5),)


def test_a_lead_may_change_twice():
    times = {"a": {1: 1.0, 2: 3.0, 3: 1.0}, "b": {1: 2.0, 2: 2.0, 3: 2.0}}
    found = crossovers({name: {v: row(name, s) for v, s in each.items()} for name, each in times.items()})
    assert found == [Crossover("b", "a", 1, 2), Crossover("a", "b", 2, 3)]


def test_few_runs_say_less_than_their_quartiles():
    rows = {name: {1: ComparisonRow(None, "", name, 1, 1, 1, s, s, s, 1, None)} for name, s in (("a", 1.0), ("b", 1.1))}
    rows["a"][2], rows["b"][2] = rows["b"][1], rows["a"][1]
    assert crossovers(rows) == []


def test_crossovers_of_slow_strategies_are_not_told_but_known():
    times = {"slow": {1: 5.0, 3: 9.0}, "slower": {1: 6.0, 3: 8.0}, "fast": {1: 1.0, 3: 1.0}}
    swept = made(times)
    assert [each.winner for each in swept.crossovers] == ["slower"]
    assert swept.sentences() == ["Fastest: fast at kernel 1, 3.", "No strategy overtakes another."]
    named = made({"im2col": times["slow"], "slower": times["slower"], "fast": times["fast"]})
    assert named.sentences()[1:] == ["slower overtakes im2col between kernel 1 and 3."]


def test_what_one_overtakes_between_the_same_values_is_one_sentence():
    times = {"im2col": {3: 1.0, 5: 3.0}, "direct": {3: 1.2, 5: 4.0}, "a": {3: 1.5, 5: 9.0}, "fft": {3: 5.0, 5: 2.0}}
    assert made(times).sentences() == [
        "Fastest: im2col at kernel 3; fft at kernel 5.",
        "fft overtakes im2col, direct and a between kernel 3 and 5.",
    ]
    tied = {"a": {1: 1.0, 3: 1.0, 5: 1.0}, "b": {1: 1.005, 3: 2.0, 5: 0.995}}
    assert made(tied).sentences()[0] == "Fastest: a and b at kernel 1; a at kernel 3; b and a at kernel 5."


def chosen(times: dict[int, float], strategies: dict[int, str]) -> list[SweepPoint]:
    rows = {value: replace(row("auto", seconds, 0.01), chosen=(strategies[value],)) for value, seconds in times.items()}
    return [SweepPoint(value, each) for value, each in rows.items()]


def test_who_chooses_overtakes_nobody_and_is_behind_where_the_choice_was_wrong():
    swept = made({"a": {1: 1.0, 3: 2.0, 5: 4.0}, "b": {1: 3.0, 3: 1.5, 5: 1.0}})
    right = chosen({1: 1.3, 3: 1.5, 5: 1.0}, {1: "a", 3: "b", 5: "b"})
    with_auto = replace(swept, points=(*swept.points, *right))
    assert with_auto.crossovers == swept.crossovers
    # Slower than its own choice: by chance.
    assert with_auto.sentences() == [
        "Fastest: a at kernel 1; b at kernel 3, 5.",
        "b overtakes a between kernel 1 and 3.",
        "auto chooses a at kernel 1; b at kernel 3, 5: as fast as any.",
    ]
    wrong = chosen({1: 3.0, 3: 2.0, 5: 1.0}, {1: "b", 3: "a", 5: "b"})
    wrong = [replace(point, row=replace(point.row, ratio=point.row.seconds)) for point in wrong]
    said = replace(swept, points=(*swept.points, *wrong)).sentences()[-1]
    assert said == "auto chooses b at kernel 1, 5; a at kernel 3: at most 3.00x the fastest, at 1."


def test_strategies_stand_in_the_order_in_which_they_were_asked_for():
    at = {1: ["im2col", "pointwise", "auto"], 3: ["im2col", "winograd_4x4", "auto"], 5: ["naive", "im2col", "auto"]}
    points = [SweepPoint(value, row(name, 1.0)) for value, names in at.items() for name in names]
    found = Sweep("kernel", "a layer", tuple(points)).lowerings
    assert found == ("naive", "im2col", "pointwise", "winograd_4x4", "auto")


def test_the_fastest_and_those_about_equal():
    swept = made({"a": {1: 1.0}, "b": {1: 0.99}, "c": {1: 1.5}}, 0.02)
    assert swept.fastest(1) == ("b", "a")
    cells = [line.split() for line in swept.table().text(80).splitlines()[-3:]]
    assert cells == [["a", "1.00*"], ["b", "0.990*"], ["c", "1.50"]]


def test_tables_share_one_unit():
    swept = made({"a": {1: 0.002, 3: 0.0304, 5: 12.3456}, "b": {1: 0.001}})
    lines = swept.table().text(100).splitlines()
    assert lines[0] == "a layer, forward: time in ms by kernel"
    assert lines[1].split() == ["kernel", "1", "3", "5"]
    assert lines[3].split() == ["a", "2.00", "30.4*", "12,346*"]
    assert lines[4].split() == ["b", "1.00*"]
    assert swept.table("scratch").text(100).splitlines()[0].endswith("scratch in KiB by kernel")
    assert swept.table("error").text(100).splitlines()[3].split() == ["a", *["1.0e-07"] * 3]
    with pytest.raises(
        UnsupportedError, match="a sweep has no 'speed'; it has: time, predicted, scratch, peak, FLOPs, error"
    ):
        swept.table("speed")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit(width):
    swept = made({name: dict.fromkeys(range(1, 20, 2), 12.5) for name in ("winograd_4x4", "im2col")})
    text = swept.table().text(width)
    assert max(map(len, text.splitlines())) <= width
    heading = text.splitlines()[1].split()
    assert (heading[:2], heading[-1]) == (["kernel", "1"], "19")


def test_json_is_plain_and_whole(swept):
    data = json.loads(json.dumps(swept.to_json(), allow_nan=False))
    assert data["schema"] == "convir.sweep/1"
    assert (data["over"], data["values"], data["lowerings"]) == ("kernel", [1, 3, 5], NAMES)
    assert data["points"][0]["value"] == 1
    assert data["points"][0]["seconds"] == swept.points[0].row.seconds
    assert data["left_out"][0] == {"value": 1, "lowering": "winograd_4x4", "reason": data["left_out"][0]["reason"]}
    crossing = made({"a": {1: 1.0, 3: 2.0}, "b": {1: 2.0, 3: 1.0}}).to_json()["crossovers"]
    assert crossing == [
        {"winner": "b", "loser": "a", "before": 1, "after": 3, "equal": ()}
        | {"sentence": "b overtakes a between kernel 1 and 3."}
    ]


def test_what_was_extrapolated_is_marked(monkeypatch):
    from convir.comparison import fit

    monkeypatch.setattr(fit, "SURE_MACS", 1e-9)
    monkeypatch.setattr(fit, "_seconds_per_mac", lambda part: 1.0)
    swept = convir.sweep(LAYER, "size", [2, 4], lowerings=["naive", "im2col"], repeats=1, threads=1)
    assert [point.row.extrapolated_from for point in swept.points] == [0, None, 0, None]
    naive = next(line for line in str(swept).splitlines() if line.startswith("naive"))
    assert re.fullmatch(r"naive +~[\d,]+ +~[\d,]+ *", naive)
