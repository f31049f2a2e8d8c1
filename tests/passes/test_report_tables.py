"""Tables of costs and memory: what their headings and their order say."""

from __future__ import annotations

from dataclasses import replace

import convir
from convir import zoo
from convir.common.table import Column
from convir.ir.ops import MatMul
from convir.passes.cost import RULES
from convir.passes.estimate import estimate
from convir.passes.memory_table import memory_table

RULE = RULES[MatMul]


def columns(compiled: convir.Compiled) -> list[str]:
    return [column.label for column in compiled.cost.table().columns if isinstance(column, Column)]


def test_forward_and_backward_together_are_called_so():
    compiled = convir.compile(zoo.lenet5(), (1, 1, 28, 28), conv="im2col")
    assert {"FLOPs model forward", "FLOPs as lowered fwd + bwd", "bytes as lowered fwd + bwd"} <= set(columns(compiled))
    assert "As lowered (forward + backward): 1,249,560 MACs" in str(compiled.cost)


def test_a_forward_alone_needs_no_label():
    compiled = convir.compile(zoo.lenet5(), (1, 1, 28, 28), conv="im2col", inference=True)
    assert {"FLOPs model", "FLOPs as lowered"} <= set(columns(compiled))
    assert "As lowered: 416,520 MACs" in str(compiled.cost)


def test_multiplications_are_shown_where_they_are_not_one_a_mac(monkeypatch):
    shape = (1, 1, 28, 28)
    usual = convir.compile(zoo.lenet5(), shape, conv="winograd_2x2", inference=True)
    assert not any("multiplications" in name for name in columns(usual))
    assert "multiplications" not in str(usual.cost).split("1 MAC = 2 FLOPs")[0]
    monkeypatch.setitem(RULES, MatMul, lambda *node: replace(RULE(*node), multiplications=1000))
    fewer = convir.compile(zoo.lenet5(), shape, conv="im2col", inference=True)
    assert {"multiplications model", "multiplications as lowered"} <= set(columns(fewer))
    assert "As lowered: 416,520 MACs = 833,040 FLOPs, 5,000 multiplications, " in str(fewer.cost)
    alone = estimate(convir.trace(zoo.lenet5(), shape))
    assert alone.table().columns[6].name == "multiplications"
    assert [row[6] for row in alone.table().rows if row[1] == "matmul"] == ["1.00 k"] * 3


def test_buffers_are_sorted_by_the_size_that_is_shown():
    compiled = convir.compile(zoo.lenet5(), (1, 1, 28, 28))
    sizes = {buffer.values[0]: buffer.nbytes for buffer in compiled.memory.buffers}
    shown = [sizes[row[0].split(" (+")[0]] for row in memory_table(compiled.memory).rows]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == len(compiled.memory.buffers)
