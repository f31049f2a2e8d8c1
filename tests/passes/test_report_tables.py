"""Tables of costs and memory: what their headings and their order say."""

from __future__ import annotations

import convir
from convir import zoo
from convir.common.table import Column
from convir.passes.memory_table import memory_table


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


def test_buffers_are_sorted_by_the_size_that_is_shown():
    compiled = convir.compile(zoo.lenet5(), (1, 1, 28, 28))
    sizes = {buffer.values[0]: buffer.nbytes for buffer in compiled.memory.buffers}
    shown = [sizes[row[0].split(" (+")[0]] for row in memory_table(compiled.memory).rows]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == len(compiled.memory.buffers)
