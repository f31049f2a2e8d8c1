"""Re-specialising a graph to other input types."""

from __future__ import annotations

import pytest
from support.graphs import assert_rewrites, graph_of

import convir
from convir import ConvirError, DTypeError, ShapeError, TensorType, zoo
from convir.ir import verify
from convir.ir.ops import Add, Reshape
from convir.passes.infer_shapes import InferShapes


def test_another_batch_is_the_graph_traced_with_it():
    model = zoo.lenet5()
    small, large = convir.trace(model, (8, 1, 28, 28)), convir.trace(model, (64, 1, 28, 28))
    again = InferShapes({"x": TensorType((64, 1, 28, 28))})(small)
    verify(again)
    assert str(again) == str(large)
    assert again == large
    assert again.bindings == small.bindings


def test_without_types_nothing_changes():
    graph = graph_of(Add(), (2, 3), (3,))
    assert_rewrites(InferShapes(), graph, "graph one(a: f32[2,3], b: f32[3]) -> f32[2,3]:\n"
                    "  y = add(a, b) : f32[2,3]\n  return y")  # fmt: skip


def test_results_get_other_ranks_too():
    graph = graph_of(Add(), (3,), (3,))
    again = InferShapes({"a": TensorType((4, 2, 3))})(graph)
    assert again.outputs[0].type == TensorType((4, 2, 3))


def test_shapes_that_do_not_fit_name_the_place():
    graph = convir.trace(zoo.lenet5(), (1, 1, 28, 28))
    with pytest.raises(ShapeError, match=r"matmul at fc1 \(lenet\.py:\d+\): inner dimensions differ"):
        InferShapes({"x": TensorType((1, 1, 32, 32))})(graph)


def test_element_types_that_do_not_fit_name_the_place():
    with pytest.raises(DTypeError, match="add: operands must have one element type"):
        InferShapes({"a": TensorType((3,), "float64")})(graph_of(Add(), (3,), (3,)))


def test_an_unknown_input_is_refused_with_those_there_are():
    with pytest.raises(ConvirError, match="graph one has no input z; it has a, b"):
        InferShapes({"z": TensorType((3,))})(graph_of(Add(), (3,), (3,)))


def test_a_reshape_to_numbers_says_what_does_not_fit():
    graph = graph_of(Reshape((2, 6)), (3, 4))
    with pytest.raises(ShapeError, match=r"reshape: cannot reshape f32\[4,4\] with 16 elements to \[2, 6\]"):
        InferShapes({"input": TensorType((4, 4))})(graph)


@pytest.mark.parametrize(("shape", "expected"), [((0, -1), (5, 4)), ((-1, 2), (10, 2)), ((0, 0), (5, 4))])
def test_a_reshape_that_keeps_or_infers_follows(shape, expected):
    again = InferShapes({"input": TensorType((5, 4))})(graph_of(Reshape(shape), (3, 4)))
    assert again.outputs[0].type.shape == expected
