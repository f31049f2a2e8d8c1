"""Random graphs in regions: the nests joined, the nests apart, and NumPy's kernels compute the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from support.drawn_regions import with_drawn_region
from support.graphs import interpret
from support.loop_graphs import arrays_for, loop_graphs
from support.regions import apart, assert_near, interpreted, joined

import convir
from convir.ir import Graph, Node
from convir.ir.ops import Region
from convir.loops import LOOPS, Together
from convir.loops.blocks import SMALL
from convir.passes.fuse_regions import FuseRegions

TOLERANCE = {"float32": 1e-3, "float64": 1e-10}

Values = Mapping[str, np.ndarray]


def computed(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Every value of the graph, node by node; none of them infinite."""
    values = interpret(graph, arrays_for(graph, seed))
    assume(all(np.isfinite(value).all() for value in values.values()))
    return values


def in_regions(data: st.DataObject, graph: Graph) -> list[Graph]:
    """The graph as the pass divides it, and with regions that no pass would choose, around others too."""
    divided = FuseRegions()(graph)
    return [divided, *(data.draw(with_drawn_region(each), label="region") for each in (graph, divided))]


def assert_region(node: Node, values: Values) -> None:
    """Its nests, joined and apart, compute what the ops of the graph did."""
    assert isinstance(node.op, Region)
    together, one_by_one = joined(node.op), apart(node.op)
    assert (together is None) == (one_by_one is None)
    if together is None or one_by_one is None:
        return
    shared = [part.axis.name for part in together.parts if isinstance(part, Together)]
    event(f"shared loops: {', '.join(shared) or 'none'}")
    arrays = {b.name: values[v.name] for b, v in zip(node.op.body.inputs, node.inputs, strict=True)}
    expected = [values[value.name] for value in node.outputs]
    for program in (one_by_one, together):
        assert_near(interpreted(node.op, program, arrays), expected, TOLERANCE["float64"])
    assert len(together.nests) <= len(one_by_one.nests)
    assert sum(type.size for _, type in together.temporaries) <= sum(type.size for _, type in one_by_one.temporaries)


def assert_executable(graph: Graph, values: Values, backend: str) -> None:
    """Compiled as it is, the graph gives these values."""
    dtypes = {value.type.dtype for value in graph.outputs}
    results = convir.compile(graph, passes=[], backend=backend)(*(values[value.name] for value in graph.inputs))
    found = results if isinstance(results, tuple) else (results,)
    assert_near(found, [values[value.name] for value in graph.outputs], max(TOLERANCE[dtype] for dtype in dtypes))


def check(data: st.DataObject) -> None:
    graph = data.draw(loop_graphs(), label="graph")
    values = computed(graph, data.draw(st.integers(0, 9), label="seed"))
    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is drawn is large; blocks are tried for what is small, too.
        patch.setattr("convir.loops.blocks.SMALL", data.draw(st.sampled_from([SMALL, 0]), label="small"))
        for divided in in_regions(data, graph):
            for node in divided.nodes:
                if isinstance(node.op, Region):
                    assert_region(node, values)
            assert_executable(divided, values, "numpy")


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_joined_apart_and_by_numpy(data):
    check(data)


@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_very_many_graphs(data):
    check(data)


def check_compiled(data: st.DataObject, dtype: str) -> None:
    pytest.importorskip("numba")
    graph = data.draw(loop_graphs(dtype, most=5), label="graph")
    values = computed(graph, data.draw(st.integers(0, 9), label="seed"))
    for divided in in_regions(data, graph):
        assert_executable(divided, values, "numba")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_machine_code_computes_the_same(dtype, data):
    check_compiled(data, dtype)


#: What only some ways of lowering a convolution make: their regions are drawn in ``test_blocks``, if they have any.
_STEMS = (".depthwise", ".im2col_matmul", ".shift", ".winograd")
OF_OTHER_LOWERINGS = {op for op in LOOPS if op.__module__.endswith(_STEMS) or op.name.startswith("slice2d")}


def test_every_op_with_loops_is_drawn():
    drawn = set()

    @settings(max_examples=300, phases=[Phase.generate])
    @given(loop_graphs())
    def draw(graph):
        drawn.update(type(node.op) for node in graph.nodes)

    draw()
    assert drawn >= set(LOOPS) - {Region} - OF_OTHER_LOWERINGS
