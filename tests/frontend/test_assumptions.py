"""A graph knows the sizes that the traced code depended on, and is not re-specialised past them."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import convir
from convir import UnsupportedError, nn, zoo

DEPENDS = {
    "division": lambda x: x.sum(0) / x.shape[0],
    "product": lambda x: x * (2 * x.shape[0]),
    "branch": lambda x: x if x.shape[0] > 3 else x * 2,
    "equality": lambda x: x if x.shape == (4, 3) else x * 2,
    "square root": lambda x: x / math.sqrt(x.shape[0]),
    "float": lambda x: x * float(x.shape[0]),
    "of a result": lambda x: x.T / x.T.shape[1],
}


@pytest.mark.parametrize("function", DEPENDS.values(), ids=DEPENDS.keys())
def test_another_size_is_refused_with_the_line(function):
    graph = convir.trace(function, (4, 3))
    place = r"\(test_assumptions.py:\d+\): it was 4 and would be 8; trace the model again"
    with pytest.raises(UnsupportedError, match=rf"computed with dimension \d of \w+ {place}"):
        convir.infer_shapes(graph, (8, 3))
    with pytest.raises(UnsupportedError, match=place):
        convir.compile(graph)(np.ones((8, 3), "float32"))


@pytest.mark.parametrize("function", DEPENDS.values(), ids=DEPENDS.keys())
def test_sizes_that_stay_do_not_matter(function):
    graph = convir.trace(function, (4, 3))
    assert convir.infer_shapes(graph, (4, 3)) == graph


def test_a_function_is_traced_again():
    compiled = convir.compile(DEPENDS["division"], (4, 3))
    np.testing.assert_array_equal(compiled(np.ones((8, 3), "float32")), np.ones(3))


def test_other_dimensions_may_be_computed_with():
    graph = convir.trace(lambda x: x.reshape(x.shape[0], x.shape[1] * x.shape[2]), (4, 3, 2))
    assert str(convir.infer_shapes(graph, (8, 3, 2)).outputs[0].type) == "f32[8,6]"
    with pytest.raises(UnsupportedError, match="dimension 2"):
        convir.infer_shapes(graph, (4, 3, 5))


INDEPENDENT = {
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "size": lambda x: x.view(x.size(0), -1),
    "flatten": lambda x: x.flatten(1),
    "squeeze": lambda x: x.mean(1, keepdim=True).squeeze(1).unsqueeze(0),
    "mse": lambda x: nn.functional.mse_loss(x, x * 2),
    "printing": lambda x: (f"{x.shape} {x.shape[0]}", x.relu())[1],
}


@pytest.mark.parametrize("function", INDEPENDENT.values(), ids=INDEPENDENT.keys())
def test_what_only_passes_a_size_on_depends_on_none(function):
    graph = convir.trace(function, (4, 3, 2))
    assert graph.assumptions == ()
    convir.infer_shapes(graph, (8, 3, 2))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_the_zoo_takes_any_batch(name):
    entry = zoo.MODELS[name]
    graph = convir.trace(entry.factory(), entry.input_shape)
    assert convir.infer_shapes(graph, (5, *entry.input_shape[1:])).outputs[0].type.shape[0] == 5


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda dim: pickle.loads(pickle.dumps(dim))])
def test_a_size_can_be_copied(duplicate):
    sizes = []
    convir.trace(lambda x: (sizes.append(x.shape[0]), x)[1], (4, 3))
    assert duplicate(sizes[0]) == 4
