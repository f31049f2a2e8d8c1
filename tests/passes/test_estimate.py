"""The cost report: totals, rows, lowered columns, shared parameters, JSON and text."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from support.cost_nets import Net, alexnet, lenet5, vgg16

from convir.ir import Builder, Graph, Node, Op, TensorType, Value
from convir.ir.ops import Im2col, MatMul, Mul, Pad2d, Transpose
from convir.passes.cost import Cost, Work
from convir.passes.cost_report import CostReport
from convir.passes.estimate import estimate


@dataclass(frozen=True)
class Mystery(Op):
    """An op that nobody wrote a cost rule for."""

    operand_names = ("input",)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands


@dataclass(frozen=True)
class Plan:
    peak_bytes: int


def mysterious() -> Graph:
    x, y, z = (Value(name, TensorType((2, 3))) for name in ("x", "y", "z"))
    known = Node(Mul(), (x, x), (y,), origin="y")
    return Graph("odd", (x,), (), (known, Node(Mystery(), (y,), (z,), origin="z")), (z,))


def tied() -> Graph:
    net = Net("tied", 4, 5)
    net.linear("fc", 5)
    net.linear("fc", 5)
    return net.done()


@pytest.mark.parametrize(
    ("net", "parameters", "macs"),
    [
        (lenet5(1), 61_706, 416_520),
        (vgg16(), 138_357_544, 15_470_264_320),
        (alexnet(), 61_100_840, 714_188_480),
    ],
    ids=lambda part: getattr(part, "name", None),
)
def test_published_figures(net, parameters, macs):
    report = estimate(net)
    assert (report.parameters, report.macs, report.flops) == (parameters, macs, 2 * macs)
    assert report.parameter_bytes == 4 * parameters
    assert sum(row.parameters for row in report.rows) == parameters


def test_operations_grow_with_the_batch_and_parameters_do_not():
    one, eight = estimate(lenet5(1)), estimate(lenet5(8))
    assert (eight.macs, eight.pointwise) == (8 * one.macs, 8 * one.pointwise)
    assert eight.parameters == one.parameters


def test_rows_say_what_each_node_costs():
    report = estimate(lenet5(2))
    conv, relu, *_ = report.rows
    assert (conv.name, conv.op, conv.scope, conv.type) == ("conv1", "conv2d", "conv1", "f32[2,6,28,28]")
    results = 2 * 6 * 28 * 28
    assert (conv.parameters, conv.parameter_bytes, conv.macs, conv.pointwise) == (156, 624, 25 * results, results)
    assert (conv.bytes_read, conv.bytes_written) == (4 * (2 * 784 + 156), 4 * results)
    assert conv.intensity == 51 * results / (4 * (2 * 784 + 156 + results))
    assert (relu.macs, relu.pointwise, relu.intensity) == (0, results, 1 / 8)


def test_totals_are_the_sums_of_the_rows():
    report = estimate(lenet5(2))
    for field in ("macs", "flops", "pointwise", "bytes_read", "bytes_written"):
        assert getattr(report, field) == sum(getattr(row, field) for row in report.rows)


def test_a_layer_used_twice_counts_its_operations_twice_and_its_parameters_once():
    report = estimate(tied())
    first, second = report.rows
    assert report.macs == 2 * 4 * 5 * 5
    assert report.parameters == first.parameters == 30
    assert (first.shared_with, second.shared_with, second.parameters) == ("", "fc", 0)
    assert "Shared parameters are counted once: fc_1 with fc." in report.table().text(200)


def test_a_gradient_reading_its_layers_weight_shares_nothing():
    builder = Builder("joint")
    x, w = builder.input("x", TensorType((4, 5))), builder.param("w", TensorType((3, 5)))
    y = builder.emit(MatMul(transpose_b=True), x, w)
    with builder.at(builder.nodes[0]):
        dx = builder.emit(MatMul(), y, w, name="dx")
    assert [row.shared_with for row in estimate(builder.finish([dx], {})).rows] == ["", ""]


def test_a_parameter_that_nobody_reads_is_still_one():
    net = Net("unread", 4, 5)
    net.param("extra", 7)
    net.relu()
    assert estimate(net.done()).parameters == 7


def test_an_op_without_a_rule_is_listed_as_uncounted():
    report = estimate(mysterious())
    assert report.uncounted == ("z",)
    assert [row.macs for row in report.rows] == [0, None]
    assert [row.pointwise for row in report.rows] == [6, None]
    assert report.rows[1].intensity is None
    assert report.pointwise == 6
    text = report.table().text(120)
    assert "Uncounted, no cost rule (? above, in no total): z." in text
    assert text.count("?") == 4  # MACs, FLOPs, pointwise and the remark


def test_nothing_uncounted_and_nothing_shared_is_not_mentioned():
    text = str(estimate(lenet5()))
    assert "Uncounted" not in text
    assert "Shared" not in text
    assert "Peak" not in text


def lowered_conv1(graph: Graph) -> Graph:
    """conv1 and its activation as im2col and one matrix product, in CHWN."""
    builder = Builder("lenet5.lowered", "by hand")
    x = builder.input("x", graph.inputs[0].type)
    w, b = builder.param("w", TensorType((6, 25))), builder.param("b", TensorType((6, 1)))
    t = builder.emit(Transpose((1, 2, 3, 0)), x, name="x_chwn")
    with builder.at(graph.node("conv1")):
        patches = builder.emit(Im2col((5, 5)), builder.emit(Pad2d(((2, 2), (2, 2)), "CHWN"), t))
        y = builder.emit(MatMul(activation="relu"), w, patches, b)
    return builder.finish([y], {})


def test_lowered_work_stands_beside_the_model_node_it_computes():
    graph = lenet5(2)
    lowered = lowered_conv1(graph)
    report = estimate(graph, lowered=[lowered])
    plain = estimate(graph)
    assert report.macs == plain.macs
    conv, relu = report.rows[:2]
    outputs = 2 * 28 * 28 * 6
    image, padded, patches = 4 * 2 * 28 * 28, 4 * 2 * 32 * 32, 4 * 25 * 2 * 28 * 28
    read = image + padded + patches + 4 * 156
    assert conv.lowered == Work(Cost(25 * outputs, 2 * outputs), read, padded + patches + 4 * outputs, nodes=3)
    assert conv.pointwise == outputs
    assert relu.lowered == Work()
    assert report.lowered == Work.total([conv.lowered, report.rows[-1].lowered])


def test_lowered_work_from_outside_the_model_has_its_own_row():
    report = estimate(lenet5(2), lowered=[lowered_conv1(lenet5(2))])
    extra = report.rows[-1]
    assert (extra.name, extra.op, extra.in_model, extra.macs) == ("x_chwn", "transpose", False, 0)
    assert extra.lowered.bytes_written == 4 * 2 * 28 * 28
    assert "part of no node of the model: x_chwn." in report.table().text(200)


def test_lowered_parts_add_up_by_origin():
    graph = lenet5(2)
    part = lowered_conv1(graph)
    once, twice = estimate(graph, lowered=[part]), estimate(graph, lowered=[part, part.replace(name="again")])
    assert twice.lowered == once.lowered + once.lowered
    assert twice.rows[0].lowered == once.rows[0].lowered + once.rows[0].lowered
    assert [name for name, _ in twice.lowered_parts] == ["lenet5.lowered", "again"]


def test_an_uncounted_lowered_node_is_listed_too():
    graph = lenet5(2)
    odd = mysterious()
    foreign = odd.replace(nodes=tuple(replace(node, origin="conv1") for node in odd.nodes))
    report = estimate(graph, lowered=[foreign])
    assert report.uncounted == ("z",)
    assert report.rows[0].macs is not None
    assert report.rows[0].lowered.counted_macs is None


def test_peaks_come_from_the_memory_plans():
    graph = lenet5(2)
    report = estimate(graph, memory=Plan(2048), training_memory=Plan(3 * 1024**2))
    assert (report.peak_bytes, report.training_peak_bytes) == (2048, 3 * 1024**2)
    assert "Peak memory: inference 2.00 KiB, training 3.00 MiB." in str(report)
    assert (estimate(graph).peak_bytes, estimate(graph).training_peak_bytes) == (None, None)


def test_json_is_plain_and_complete():
    graph = lenet5(2)
    report = estimate(graph, lowered=[lowered_conv1(graph)], memory=Plan(2048))
    data = json.loads(json.dumps(report.to_json()))
    assert data["schema"] == "convir.cost/1"
    assert (data["graph"], data["totals"]["macs"], data["totals"]["parameters"]) == ("lenet5", report.macs, 61_706)
    assert data["totals"]["peak_bytes"] == 2048
    assert data["totals"]["training_peak_bytes"] is None
    assert data["totals"]["lowered"]["parts"][0]["graph"] == "lenet5.lowered"
    assert "1 MAC = 2 FLOPs" in data["conventions"]
    first = data["rows"][0]
    assert (first["name"], first["type"], first["flops"]) == ("conv1", "f32[2,6,28,28]", 2 * first["macs"])
    assert first["lowered"]["macs"] == report.rows[0].lowered.macs
    assert estimate(graph).to_json()["rows"][0]["lowered"] is None


def test_json_has_null_where_a_rule_is_missing():
    data = estimate(mysterious()).to_json()
    assert (data["rows"][1]["macs"], data["rows"][1]["pointwise"], data["uncounted"]) == (None, None, ["z"])
    assert data["totals"]["pointwise"] == 6


def test_the_text_of_a_report():
    net = Net("small", 1, 1, 4, 4)
    net.conv("conv", 2, 3)
    net.relu("act")
    table, conventions = estimate(net.done()).table().text(120).split("\n1 MAC = 2 FLOPs. ")
    assert table.splitlines() == [
        "Cost of small",
        "node   op      output        params  MACs  FLOPs  pointwise   read  written  FLOP/B",
        "───────────────────────────────────────────────────────────────────────────────────",
        "conv   conv2d  f32[1,2,2,2]      20    72    144          8  144 B     32 B   0.864",
        "relu   relu    f32[1,2,2,2]       -     -      -          8   32 B     32 B   0.125",
        "───────────────────────────────────────────────────────────────────────────────────",
        "total                            20    72    144         16  176 B     64 B   0.667",
        "Model: 72 MACs = 144 FLOPs, 16 pointwise, 176 B read, 64 B written.",
        "Parameters: 20 (80 B).",
    ]
    assert conventions.startswith("MACs: multiply-accumulates of convolutions and matrix products, padding included.")


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("lowered", [False, True])
def test_no_line_is_wider_than_the_terminal(width, lowered):
    graph = vgg16()
    report: CostReport = estimate(graph, lowered=[graph] if lowered else ())
    lines = report.table().text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("15.5 G" in line or "30.9 G" in line for line in lines)
