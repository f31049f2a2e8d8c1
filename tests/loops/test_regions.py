"""Regions: the joined loops of several ops compute what the ops do one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from support.generated import PROCESSORS, function_of, operands_of, program_of, run_on, run_plain
from support.gradient_samples import SAMPLES
from support.graphs import assert_close
from support.loop_cases import types_of
from support.loop_interpreter import interpret_program
from support.pooled_nets import POOLED, PooledNet

import convir
from convir import zoo
from convir.ir.ops import Region
from convir.passes.fuse_regions import FuseRegions
from convir.runtime import evaluate


def assert_joined(op: Region, arrays: list[np.ndarray], rtol: float) -> None:
    """The joined loops, point by point and as plain Python, equal the NumPy kernels."""
    types = types_of(arrays)
    program = program_of(op, types)
    assert program is not None
    given, made = operands_of(op, types)
    memory = {operand.name: array.reshape(-1) for operand, array in zip(given, arrays, strict=True)}
    found = interpret_program(program, memory | {o.name: np.full(o.type.size, np.nan) for o in made})
    expected = evaluate(op, arrays)
    assert_close([found[o.name].reshape(o.type.shape).astype(o.type.dtype) for o in made], expected, rtol)
    for processor in PROCESSORS.values():
        assert_close(run_on(function_of(op, types, processor), arrays, run_plain), expected, rtol)


@pytest.mark.parametrize(("op", "arrays"), SAMPLES[Region], ids=[op.stem for op, _ in SAMPLES[Region]])
def test_samples(op, arrays):
    assert_joined(op, list(arrays), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_regions_of_lenet5(inference, batch):
    rng = np.random.default_rng(0)
    passes = [*convir.pipeline(conv="direct", inference=inference), FuseRegions()]
    graphs = convir.compile(zoo.lenet5(), (batch, 1, 28, 28), passes=passes).program.graphs
    regions = [node for graph in graphs for node in graph.nodes if isinstance(node.op, Region)]
    assert len(regions) >= 2
    for node in regions:
        arrays = [np.asarray(rng.standard_normal(v.type.shape), v.type.dtype) for v in node.inputs]
        assert_joined(node.op, arrays, 2e-5)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("case", POOLED)
def test_regions_with_poolings_behind_anything(case, inference):
    """The interpreter reads and writes nothing outside the operands."""
    rng = np.random.default_rng(0)
    passes = [*convir.pipeline(conv="direct", inference=inference), FuseRegions()]
    graphs = convir.compile(PooledNet(POOLED[case]), (2, 3, 12, 11), passes=passes).program.graphs
    for node in (node for graph in graphs for node in graph.nodes if isinstance(node.op, Region)):
        arrays = [np.asarray(rng.standard_normal(v.type.shape), v.type.dtype) for v in node.inputs]
        assert_joined(node.op, arrays, 1e-4)
