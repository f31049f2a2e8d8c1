"""What steps ask of the machine, read off them before they run."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.compiler import build, pipeline
from convir.ir import TensorType
from convir.ir.ops import Conv2d
from convir.passes.cost import work_of
from convir.passes.lower_conv import ConvLayer
from convir.passes.lower_conv.layer import RESULT
from convir.runtime import NUMPY
from convir.runtime.calls import Move, Product, calls_of
from convir.runtime.kernels.registry import in_order


def lowered(strategy, gradients=(), groups=1):
    layer = ConvLayer(
        Conv2d(padding=(1, 1), groups=groups),
        TensorType((3, 8, 9, 10), "float32"),
        TensorType((6, 8 // groups, 3, 3), "float32"),
        biased=True,
        gradients=gradients,
    )
    program = build(layer.alone(), pipeline(conv={RESULT: strategy}, wrt=gradients))
    return [node for graph in program.graphs for node in graph.nodes]


@pytest.mark.parametrize("gradients", [(), ("image", "weight")])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("strategy", ["im2col", "im2col_tiled", "toeplitz", "direct", "fft"])
def test_products_do_the_operations_that_are_counted(strategy, groups, gradients):
    for node in lowered(strategy, gradients, groups):
        products = [call for call in NUMPY.calls(node) if isinstance(call, Product)]
        assert sum(call.flops for call in products) == work_of(node).flops, node.name


def test_a_copy_reads_and_writes_every_element_once():
    source, target = np.empty((5, 7), "float32"), np.empty((5, 7), "float32")
    assert calls_of(partial(np.copyto, target, source)) == [Move(2 * 35 * 4, 35, 1, False, 4)]


def test_what_is_read_again_and_again_is_not_counted():
    source, target = np.empty((5, 1), "float32"), np.empty((5, 7), "float32")
    (move,) = calls_of(partial(np.add, target, source, target))
    assert (move.nbytes, move.elements) == (2 * 35 * 4, 35)


def test_elements_that_lie_apart_cost_their_lines():
    source, target = np.empty((100, 32), "float32")[:, 0], np.empty(100, "float32")
    assert calls_of(partial(np.copyto, target, source)) == [Move(100 * (64 + 4), 100, 1, True, 4)]


def test_python_of_which_nothing_is_known_has_no_calls():
    assert calls_of(lambda: None) is None
    assert calls_of(in_order([partial(np.copyto, np.empty(1), np.empty(1)), lambda: None])) is None
    (node,) = (node for node in lowered("naive") if node.op.name == "conv2d")
    assert NUMPY.calls(node) is None


@st.composite
def views(draw):
    """Two arrays of one shape, each with axes in some order and some steps."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    arrays = []
    for _ in range(2):
        steps = draw(st.lists(st.integers(1, 2), min_size=len(shape), max_size=len(shape)))
        whole = np.zeros([size * step for size, step in zip(shape, steps, strict=True)], "float32")
        arrays.append(whole[tuple(slice(None, None, step) for step in steps)])
    return arrays


@given(views())
def test_innermost_loops_are_those_of_numpys_iterator(arrays):
    source, target = arrays
    (move,) = calls_of(partial(np.copyto, target, source))
    inner = np.nditer([target, source], flags=["external_loop"], op_flags=[["readwrite"], ["readonly"]], order="K")
    chunks = [len(np.atleast_1d(chunk[0])) for chunk in inner]
    assert move.loops == len(chunks)
    assert move.elements == sum(chunks)
