"""One loop over blocks around several nests: what is joined, what stays, and that it computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import PROCESSORS, function_of, operands_of, run_on, run_plain
from support.graphs import assert_close
from support.loop_cases import types_of
from support.loop_interpreter import interpret_program

import convir
from convir import nn
from convir.ir.ops import Region
from convir.loops import blocks
from convir.loops.fuse import fused
from convir.loops.nest import Program, Together
from convir.loops.rules.region import one_by_one
from convir.passes.fuse_regions import FuseRegions
from convir.runtime import evaluate


class Net(nn.Module):
    def __init__(self, channels, filters, kernel, groups=1, pool=False, stride=1):
        self.conv = nn.Conv2d(channels, filters, kernel, stride, padding=kernel // 2, groups=groups)
        self.pool = pool

    def forward(self, x):
        y = nn.functional.relu(self.conv(x))
        return nn.functional.max_pool2d(y, 2) if self.pool else y


def region_of(net: nn.Module, shape: tuple[int, ...], conv: str):
    passes = [*convir.pipeline(conv=conv, inference=True), FuseRegions()]
    nodes = convir.compile(net, shape, passes=passes).program.forward.nodes
    (node,) = (node for node in nodes if isinstance(node.op, Region))
    return node


def plain_and_fused(node) -> tuple[Program, Program]:
    given_, made = operands_of(node.op, tuple(value.type for value in node.inputs))
    program = one_by_one(node.op, given_, made)
    assert program is not None
    return program, fused(program)


@pytest.fixture
def every_size(monkeypatch):
    """Blocks however small the arrays are."""
    monkeypatch.setattr(blocks, "SMALL", 0)


def test_transforms_and_products_share_a_loop_over_rows_of_tiles():
    node = region_of(Net(16, 16, 3), (8, 16, 32, 32), "winograd_4x4")
    assert [inner.op.name for inner in node.op.body.nodes if not inner.op.view] == [
        *("winograd_input", "matmul", "winograd_output")
    ]
    plain, joined = plain_and_fused(node)
    (together,) = joined.parts
    assert isinstance(together, Together)
    assert together.axis.extent == 8
    assert len(together.nests) == len(plain.nests) == 5
    before, after = (sum(type.nbytes for _, type in program.temporaries) for program in (plain, joined))
    assert after == before / 8


def test_small_arrays_stay_in_the_cache_as_they_are():
    _, joined = plain_and_fused(region_of(Net(2, 2, 3), (1, 2, 8, 8), "winograd_4x4"))
    assert not any(isinstance(part, Together) for part in joined.parts)


def test_weights_that_every_block_would_read_again_are_worth_more_than_the_arrays():
    """The two halves of the input's transform share a loop over channels; the products stand by themselves."""
    _, joined = plain_and_fused(region_of(Net(256, 256, 3), (1, 256, 16, 16), "winograd_4x4"))
    first, *others = joined.parts
    assert isinstance(first, Together)
    assert first.axis.extent == 256
    assert not any(isinstance(part, Together) for part in others)


@given(
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    groups=st.integers(1, 2),
    kernel=st.sampled_from([3, 5]),
    size=st.tuples(st.integers(3, 13), st.integers(3, 13)),
    batch=st.sampled_from([1, 2, 8, 9]),
    conv=st.sampled_from(["winograd_2x2", "winograd_4x4"]),
    pool=st.booleans(),
    stride=st.sampled_from([1, 1, 2, (1, 2)]),
)
@settings(max_examples=25)
def test_blocks_compute_what_the_nests_do(channels, filters, groups, kernel, size, batch, conv, pool, stride):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SMALL", 0)
        net = Net(channels * groups, filters * groups, kernel, groups, pool and stride == 1, stride)
        node = region_of(net, (batch, channels * groups, *size), conv)
        _, joined = plain_and_fused(node)
        rng = np.random.default_rng(0)
        arrays = [np.asarray(rng.standard_normal(v.type.shape), v.type.dtype) for v in node.inputs]
        given_, made = operands_of(node.op, types_of(arrays))
        memory = {operand.name: array.reshape(-1) for operand, array in zip(given_, arrays, strict=True)}
        found = interpret_program(joined, memory | {o.name: np.full(o.type.size, np.nan) for o in made})
        expected = evaluate(node.op, arrays)
        assert_close([found[o.name].reshape(o.type.shape).astype("f") for o in made], expected, 1e-4)


def test_the_generated_source_of_blocks(every_size):
    node = region_of(Net(3, 4, 3), (9, 3, 10, 7), "winograd_4x4")
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(v.type.shape), v.type.dtype) for v in node.inputs]
    for processor in PROCESSORS.values():
        function = function_of(node.op, types_of(arrays), processor)
        assert "for block in range(3):" in function.source
        assert_close(run_on(function, arrays, run_plain), evaluate(node.op, arrays), 1e-4)
