"""The summary: layers under their modules, totals, and what it looks like."""

from __future__ import annotations

import json

import pytest
from support.cost_nets import Net, lenet5, vgg16

from convir.ir import Graph, UnsupportedError
from convir.ir.ops import Add
from convir.passes.summary import Summary, summarize


def residual() -> Graph:
    """A stem, two blocks that call functions in their own forward, a head used twice."""
    net = Net("residual", 2, 3, 8, 8)
    net.conv("stem.conv", 4, 3, padding=1)
    net.relu("stem")
    for block in ("blocks.0", "blocks.1"):
        before = net.x
        net.conv(f"{block}.conv1", 4, 3, padding=1)
        net.relu(block)
        net.conv(f"{block}.conv2", 4, 3, padding=1, groups=4)
        net.op(Add(), before, scope=block)
    net.flatten()
    net.linear("head", 256)
    net.relu()
    net.linear("head", 256)
    return net.done()


def tree(summary: Summary) -> list[str]:
    return ["  " * row.level + row.name for row in summary.rows]


def test_layers_stand_under_their_modules():
    assert tree(summarize(residual())) == [
        "stem",
        "  conv",
        "  relu",
        "blocks",
        "  0",
        "    conv1",
        "    relu_1",
        "    conv2",
        "    add",
        "  1",
        "    conv1",
        "    relu_2",
        "    conv2",
        "    add_1",
        "flatten",
        "head",
        "relu_3",
        "head",
    ]


def test_a_module_that_holds_others_is_a_heading_without_figures():
    rows = {row.path: row for row in summarize(residual()).rows if row.heading}
    assert set(rows) == {"stem", "blocks", "blocks.0", "blocks.1"}
    assert {(row.op, row.type, row.parameters, row.macs) for row in rows.values()} == {("", "", 0, 0)}


def test_rows_add_up_to_the_totals():
    summary = summarize(residual())
    assert sum(row.parameters for row in summary.rows) == summary.parameters
    assert sum(row.macs for row in summary.rows) == summary.macs
    assert summary.flops == 2 * summary.macs


def test_depth_folds_what_is_deeper():
    summary = summarize(residual(), depth=1)
    assert tree(summary) == ["stem", "blocks", "flatten", "head", "relu_3", "head"]
    full = summarize(residual())
    blocks = [row for row in full.rows if row.path.startswith("blocks")]
    folded = summary.rows[1]
    assert (folded.op, folded.type) == ("8 ops", "f32[2,4,8,8]")
    assert folded.parameters == sum(row.parameters for row in blocks)
    assert folded.macs == sum(row.macs for row in blocks)
    assert (summary.parameters, summary.macs) == (full.parameters, full.macs)
    assert tree(summarize(residual(), depth=9)) == tree(full)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth):
    with pytest.raises(UnsupportedError, match=f"depth must be at least 1, got {depth}"):
        summarize(lenet5(), depth=depth)


def test_a_layer_used_again_is_marked():
    heads = [row for row in summarize(residual()).rows if row.name == "head"]
    assert [(row.parameters, row.shared) for row in heads] == [(256 * 257, False), (0, True)]
    text = str(summarize(residual()))
    assert "shared: a module used again" in text
    assert "shared" not in str(summarize(lenet5()))


def test_consecutive_calls_folded_into_one_row_share_nothing_with_another():
    net = Net("twice", 4, 5)
    net.linear("fc", 5)
    net.linear("fc", 5)
    (row,) = summarize(net.done(), depth=1).rows
    assert (row.op, row.parameters, row.shared) == ("2 ops", 30, False)


def test_a_linear_layer_counts_middle_dimensions():
    net = Net("tokens", 4, 7, 5)
    net.linear("fc", 3)
    summary = summarize(net.done())
    assert (summary.rows[0].type, summary.macs, summary.parameters) == ("f32[4,7,3]", 4 * 7 * 5 * 3, 18)


def test_sizes():
    summary = summarize(lenet5(2))
    assert summary.input_bytes == 4 * 2 * 28 * 28
    # Two of each feature map (convolution, relu), the pooled ones, the vectors; the flatten is a view.
    maps = 2 * 6 * 28 * 28 + 6 * 14 * 14 + 2 * 16 * 10 * 10 + 16 * 5 * 5
    assert summary.activation_bytes == 4 * 2 * (maps + 2 * 120 + 2 * 84 + 10)


def test_json_is_plain_and_complete():
    data = json.loads(json.dumps(summarize(lenet5(2)).to_json()))
    assert data["schema"] == "convir.summary/1"
    assert data["inputs"] == {"x": "f32[2,1,28,28]"}
    assert data["totals"]["parameters"] == 61_706
    assert data["totals"]["flops"] == 2 * data["totals"]["macs"]
    assert data["rows"][0]["name"] == "conv1"
    assert data["uncounted"] == []


def test_the_text_of_a_summary():
    net = Net("small", 1, 1, 4, 4)
    net.conv("features.0", 2, 3)
    net.relu("features.1")
    net.flatten()
    net.linear("fc", 3)
    assert summarize(net.done()).table().text(120) == "\n".join(
        [
            "small(x: f32[1,1,4,4])",
            "layer     op       output        parameters  MACs",
            "─────────────────────────────────────────────────",
            "features",
            "  0       conv2d   f32[1,2,2,2]          20    72",
            "  1       relu     f32[1,2,2,2]           -     -",
            "flatten   flatten  f32[1,8]               -     -",
            "fc        matmul   f32[1,3]              27    24",
            "─────────────────────────────────────────────────",
            "total                                    47    96",
            "MACs: 96; FLOPs: 192 (1 MAC = 2 FLOPs; convolutions and matrix products only).",
            "Size: parameters 188 B, input 64 B, activations 76 B.",
        ]
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    for graph in (residual(), vgg16()):
        assert max(map(len, summarize(graph).table().text(width).splitlines())) <= width
