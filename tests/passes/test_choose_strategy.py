"""Which strategy a convolution gets: by name, by pattern, by default; and what happens where one refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conv_cases import ConvCase
from support.graphs import graph_of, joint

import convir
from convir import UnsupportedError, nn
from convir.ir import Graph, TensorType
from convir.ir.ops import Conv2d, ConvOp
from convir.passes.lower_conv import LowerConv, strategy
from convir.passes.lower_conv.strategy import takes_every
from convir.runtime import NUMPY
from convir.runtime.preference import (
    always,
    strided_2x2_compiled,
    strided_4x4_compiled,
    winograd_by_numpy,
    winograd_compiled,
)

NAIVE = strategy("naive")
seen: list[tuple[ConvOp, TensorType, TensorType]] = []


def refuses_five_channels(op: ConvOp, image: TensorType, weight: TensorType) -> str | None:
    seen.append((op, image, weight))
    return f"needs 5 input channels, and there are {image.shape[1]}" if image.shape[1] != 5 else None


#: Leaves convolutions of five channels as they are, and takes no others.
FIVE = replace(NAIVE, name="five", summary="for tests", refuses=refuses_five_channels)


class Net(nn.Module):
    def __init__(self):
        self.stem = nn.Conv2d(3, 5, 3)
        self.features = nn.Sequential(nn.Conv2d(5, 4, 1), nn.Conv2d(4, 5, 1))
        self.head = nn.Conv2d(5, 2, 1)

    def forward(self, x):
        return self.head(self.features(self.stem(x)))


def net() -> Graph:
    return convir.trace(Net(), (2, 3, 5, 5))


NODES = ("stem", "conv2d", "conv2d_1", "head")
FITTING = ("conv2d", "head")


def chosen(choice, default="im2col") -> dict[str, str]:
    return {row.node: row.strategy for row in LowerConv(choice, default).lowering(net()).rows}


def left(choice, default="im2col") -> list[str]:
    lowered = LowerConv(choice, default)(net())
    return [node.name for node in lowered.nodes if isinstance(node.op, Conv2d)]


def test_the_rows_are_what_the_pass_does():
    for choice in ("naive", "im2col", FIVE, {"head": "naive"}, {"conv2d*": "naive", "head": FIVE}):
        names = {"naive", "five"}
        assert left(choice) == [node for node, name in chosen(choice).items() if name in names]


def test_one_name_is_for_all():
    assert chosen("direct") == dict.fromkeys(NODES, "direct")


def test_what_the_name_for_all_refuses_gets_the_default_and_it_shows():
    lowering = LowerConv(FIVE, "direct").lowering(net())
    assert {row.node: row.strategy for row in lowering.rows} == {
        node: "five" if node in FITTING else "direct" for node in NODES
    }
    assert all(row.asked == "five" for row in lowering.rows)
    assert {row.node: row.reason for row in lowering.refused} == {
        "stem": "five needs 5 input channels, and there are 3",
        "conv2d_1": "five needs 5 input channels, and there are 4",
    }
    assert "2 of 4 convolutions are not computed as was asked." in str(lowering)
    assert "five needs 5 input channels, and there are 4" in lowering.table().text(width=200)


def test_nothing_is_said_to_be_refused_where_nothing_is():
    lowering = LowerConv("im2col").lowering(net())
    assert lowering.refused == ()
    assert "not computed" not in str(lowering)


def test_as_plain_types():
    data = json.loads(json.dumps(LowerConv({"head": FIVE}).lowering(net()).to_json()))
    assert data["schema"] == "convir.lowering/1"
    assert data["rows"][2:] == [
        {"node": "conv2d_1", "strategy": "im2col", "asked": "", "reason": ""},
        {"node": "head", "strategy": "five", "asked": "five", "reason": ""},
    ]


def test_the_default_of_what_is_not_named():
    assert chosen({"head": "naive"}, "direct") == {**dict.fromkeys(NODES, "direct"), "head": "naive"}
    assert chosen({}) == dict.fromkeys(NODES, "im2col")


def test_patterns():
    assert chosen({"conv2d*": "naive"}) == {
        "stem": "im2col",
        "conv2d": "naive",
        "conv2d_1": "naive",
        "head": "im2col",
    }
    assert chosen({"*": "naive"}) == dict.fromkeys(NODES, "naive")
    assert chosen({"conv2d_[0-9]": "naive"})["conv2d"] == "im2col"
    assert chosen({"????": "naive"}) == {**dict.fromkeys(NODES, "im2col"), "stem": "naive", "head": "naive"}


def test_the_first_pattern_that_fits_holds():
    assert chosen({"conv2d": "direct", "conv2d*": "naive", "*": "im2col"}) == {
        "stem": "im2col",
        "conv2d": "direct",
        "conv2d_1": "naive",
        "head": "im2col",
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["*", "s*", "*d*", "conv2d*", "?????*", *NODES]), st.sampled_from(["naive", "im2col"])
        ),
        max_size=4,
        unique_by=lambda pair: pair[0],
    )
)
def test_any_patterns_by_their_definition(pairs):
    """``re`` instead of ``fnmatch``, one convolution at a time; a key that decides nothing is an error."""
    import re

    def fits(key: str, node: str) -> bool:
        return re.fullmatch(key.replace("*", ".*").replace("?", "."), node) is not None

    first = {node: next((pair for pair in pairs if fits(pair[0], node)), None) for node in NODES}
    if {key for key, _ in pairs} - {pair[0] for pair in first.values() if pair}:
        with pytest.raises(UnsupportedError, match="conv= names"):
            chosen(dict(pairs))
    else:
        assert chosen(dict(pairs), "direct") == {node: pair[1] if pair else "direct" for node, pair in first.items()}


class Blocks(nn.Module):
    def __init__(self):
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1))
        self.twice = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.twice(self.twice(self.features(x)))


def test_convolutions_are_named_by_their_modules_too():
    def strategies(choice):
        rows = LowerConv(choice).lowering(convir.trace(Blocks(), (1, 1, 9, 9))).rows
        return {row.node: row.asked for row in rows}

    assert strategies({"features.*": "direct", "twice": "naive"}) == {
        "conv2d": "direct", "conv2d_1": "direct", "twice": "naive", "twice_1": "naive"
    }  # fmt: skip
    assert strategies({"features.2": "naive"}) == {"conv2d": "", "conv2d_1": "naive", "twice": "", "twice_1": ""}
    assert strategies({"twice_1": "naive", "twice": "direct"})["twice"] == "direct"
    with pytest.raises(UnsupportedError, match=r"are: conv2d \(features\.0\), conv2d_1 .*, twice, twice_1 \(twice\)"):
        strategies({"classifier": "naive"})


def test_a_name_with_the_characters_of_a_pattern_is_a_name():
    graph = ConvCase().graph("float32")
    (node,) = graph.nodes
    odd = graph.replace(nodes=(node.__class__(node.op, node.inputs, node.outputs, origin="a[0]"),))
    assert [row.asked for row in LowerConv({"a[0]": "naive"}).lowering(odd).rows] == ["naive"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"tail": "naive"},
            r"conv= names tail, but the convolutions are: conv2d \(features\.0\), conv2d_1 \(features\.1\), head, stem",
        ),
        ({"body.*": "naive", 3: "naive"}, r"conv= names 3, body\.\*, but the convolutions are"),
        ({"": "naive"}, "conv= names '', but the convolutions are"),
        (
            {"c*": "naive", "head": "direct", "conv2d_1": "direct"},
            r"names conv2d_1, but .* fits \(conv2d_1 \(features\.1\)\) has a key before it, c\*, .*: put conv2d_1",
        ),
        ({"*": "naive", "s*": "naive"}, r"names s\*, but every convolution that it fits \(stem\) has a key before it"),
        ({"*": "wino"}, "unknown lowering strategy 'wino' for conv2d; there are: naive, im2col"),
        ({"*": None}, "unknown lowering strategy None"),
    ],
    ids=str,
)
def test_keys_that_decide_nothing_are_errors(choice, message):
    with pytest.raises(UnsupportedError, match=message):
        chosen(choice)


def test_an_unknown_default_is_an_error():
    with pytest.raises(UnsupportedError, match="unknown lowering strategy 'wino'"):
        chosen("naive", "wino")


@pytest.mark.parametrize("key", ["stem", "s*"])
def test_a_named_strategy_that_refuses_is_an_error_with_its_place(key):
    with pytest.raises(UnsupportedError) as caught:
        chosen({key: FIVE})
    assert caught.value.message == (
        "the strategy five cannot compute stem: it needs 5 input channels, and there are 3; "
        "name another one for it in conv=, or none for the default"
    )
    assert caught.value.where.startswith("conv2d at stem (test_choose_strategy.py:")


def test_a_default_that_refuses_is_an_error_too():
    with pytest.raises(UnsupportedError, match=r"five cannot compute stem: it needs .*; it is the default here"):
        chosen({"head": "naive"}, FIVE)
    with pytest.raises(UnsupportedError, match="five cannot compute stem"):
        chosen(FIVE, FIVE)


def test_the_default_strategies_refuse_nothing():
    """They are what a refused convolution gets."""
    for name in ("im2col", NUMPY.conv[-1][0], "direct"):
        assert strategy(name).refuses is takes_every


def test_forward_and_both_gradients_are_refused_by_the_same_types():
    seen.clear()
    case = ConvCase(channels=5, filters=3, kernel=(3, 2), padding=(1, 0), stride=(2, 1))
    (row,) = LowerConv(FIVE).lowering(joint(case.graph("float64"))).rows
    assert (row.node, row.strategy) == ("y", "five")
    assert len(seen) == 3
    assert {(image, weight) for _, image, weight in seen} == {
        (TensorType(case.shapes["x"], "float64"), TensorType(case.shapes["w"], "float64"))
    }
    assert {op.name for op, _, _ in seen} == {"conv2d", "conv2d_grad_input", "conv2d_grad_weight"}


def test_gradients_go_with_their_convolution():
    lowered = LowerConv({"stem": "im2col", "*": "naive"})(joint(net()))
    assert {node.origin for node in lowered.nodes if isinstance(node.op, ConvOp)} == set(NODES) - {"stem"}


def test_a_compiled_model_shows_its_lowering():
    compiled = convir.compile(Net(), (2, 3, 5, 5), conv=FIVE)
    assert {row.node: (row.strategy, bool(row.reason)) for row in compiled.lowering.rows} == {
        node: ("five", False) if node in FITTING else (NUMPY.conv[-1][0], True) for node in NODES
    }
    assert convir.compile(Net(), (2, 3, 5, 5), passes=[]).lowering.rows == ()


def test_a_pipeline_may_lower_twice():
    passes = [LowerConv({"stem": "im2col"}, "naive"), LowerConv("direct")]
    rows = convir.compile(Net(), (2, 3, 5, 5), passes=passes).lowering.rows
    assert [(row.node, row.strategy) for row in rows] == [
        ("stem", "im2col"),
        *((node, "naive") for node in NODES[1:]),
        *((node, "direct") for node in NODES[1:]),
    ]


def test_of_several_defaults_the_first_that_takes_a_convolution_and_pays():
    def default(preferences, *shapes: tuple[int, ...], **attributes) -> str:
        (row,) = LowerConv({}, preferences).lowering(graph_of(Conv2d(**attributes), *shapes)).rows
        return row.strategy

    for conv in (NUMPY.conv, (("winograd_4x4", winograd_compiled), ("toeplitz", always))):
        rows = partial(default, conv)
        assert rows((8, 32, 16, 16), (32, 32, 3, 3)) == "winograd_4x4"
        assert rows((8, 32, 16, 16), (32, 32, 3, 3), stride=(2, 1)) == "toeplitz"
        assert rows((8, 32, 16, 16), (32, 32, 3, 3), dilation=(1, 2)) == "toeplitz"
        assert rows((8, 32, 16, 16), (32, 32, 1, 1)) == "toeplitz"
        assert rows((8, 32, 16, 16), (32, 4, 3, 3), groups=8) == "toeplitz"
        assert rows((1, 8, 16, 16), (8, 8, 3, 3)) == "toeplitz"
        assert rows((8, 32, 4, 4), (32, 32, 3, 3)) == "toeplitz"
        assert rows((8, 32, 9, 9), (32, 32, 9, 9)) == "toeplitz"


@pytest.mark.parametrize(
    ("images", "channels", "size", "expected"),
    [(1, 64, 34, True), (1, 63, 34, False), (2, 32, 26, True), (2, 31, 26, False), (2, 32, 18, False)],
)
def test_where_winograds_transforms_pay_with_numpy(images, channels, size, expected):
    image, weight = ((images, channels, size, size), (64, channels, 3, 3))
    assert winograd_by_numpy(Conv2d(), TensorType(image, "float32"), TensorType(weight, "float32")) is expected


@pytest.mark.parametrize(
    ("images", "channels", "size", "stride", "expected"),
    [
        (4, 64, 56, (2, 2), "4x4"),
        (1, 64, 56, (2, 2), "4x4"),
        (4, 31, 56, (2, 2), ""),
        (1, 63, 56, (2, 2), ""),
        # 14 outputs are filled by tiles of 2, and not by tiles of 4.
        (4, 64, 28, (2, 2), "2x2"),
        (16, 64, 28, (2, 2), "2x2"),
        # 7 are not filled by either.
        (8, 64, 14, (2, 2), ""),
        # 8 are filled by both; the weights of 81 places are read for 32 columns, and those of 25 for 128.
        (8, 64, 16, (2, 2), "2x2"),
        (16, 64, 16, (2, 2), "4x4"),
        (8, 64, 32, (2, 1), "4x4"),
        (8, 64, 32, (1, 1), ""),
    ],
)
def test_where_compiled_transforms_pay_with_a_stride(images, channels, size, stride, expected):
    image, weight = (images, channels, size, size), (64, channels, 3, 3)
    problem = (Conv2d(stride, (1, 1)), TensorType(image), TensorType(weight))
    rules = {"4x4": strided_4x4_compiled, "2x2": strided_2x2_compiled}
    assert next((name for name, pays in rules.items() if pays(*problem)), "") == expected


def test_rules_for_stride_one_leave_strides_alone():
    problem = (TensorType((8, 64, 32, 32)), TensorType((64, 64, 3, 3)))
    for pays in (winograd_by_numpy, winograd_compiled):
        assert pays(Conv2d(padding=(1, 1)), *problem)
        assert not pays(Conv2d((2, 2), (1, 1)), *problem)
