"""Index expressions against a plain interpreter of their text, and the rules of arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loop_interpreter import at

from convir.loops.affine import Affine, Axis, axes_over, flat, index_of, strides, variable

NAMES = "ijkn"
numbers = st.integers(-50, 50)
affines = st.builds(Affine.of, st.dictionaries(st.sampled_from(NAMES), numbers), numbers)
points = st.fixed_dictionaries({name: st.integers(0, 9) for name in NAMES})


@given(affines, points)
def test_the_text_is_the_expression(a, point):
    assert eval(str(a), dict(point)) == at(a, point)


@given(affines, affines, numbers, points)
def test_sums_and_multiples(a, b, factor, point):
    assert at(a + b, point) == at(a, point) + at(b, point)
    assert at(a + factor, point) == at(a, point) + factor
    assert at(a * factor, point) == at(a, point) * factor


@given(affines, affines)
def test_equal_expressions_are_equal(a, b):
    """One form for each function: terms are sorted, and there is none of 0."""
    assert a + b == b + a
    assert (a + b) + b * -1 == a
    assert a * 0 == Affine()
    assert all(number for _, number in (a + b * -1).terms)
    assert list((a + b).axes) == sorted((a + b).axes)
    assert hash(a + b) == hash(b + a)


@given(affines, st.dictionaries(st.sampled_from(NAMES), affines), points)
def test_substitution(a, values, point):
    """All at once: an expression put in is not looked into again."""
    replaced = {name: at(values[name], point) if name in values else point[name] for name in NAMES}
    assert at(a.substituted(values), point) == at(a, replaced)


@given(affines, points)
def test_axes_that_become_one_are_added(a, point):
    assert at(a.renamed({"i": "k", "j": "k"}), point) == at(a, {**point, "i": point["k"], "j": point["k"]})


@given(affines, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5)), points)
def test_moving_on(a, steps, point):
    assert at(a.at(steps), point) == at(a, {name: point[name] + steps.get(name, 0) for name in NAMES})


@given(affines, st.sets(st.sampled_from(NAMES)), points)
def test_leaving_out_axes(a, gone, point):
    found = a.without(gone)
    assert at(found, point) == at(a, {name: 0 if name in gone else point[name] for name in NAMES})
    assert not gone & set(found.axes)


@given(affines, points)
def test_a_coefficient_is_what_a_step_adds(a, point):
    for name in NAMES:
        assert a.coefficient(name) == at(a, {**point, name: point[name] + 1}) - at(a, point)


def test_text():
    assert str(Affine.of({"i": 512, "q": 1}, 16)) == "512*i + q + 16"
    assert str(Affine.of({"i": -2, "j": -1}, -3)) == "-2*i - 1*j - 3"
    assert str(Affine()) == "0"
    assert str(Affine(7)) == "7"


@given(st.lists(st.integers(1, 4), max_size=4).map(tuple), st.data())
def test_places_in_an_array_are_numpys(shape, data):
    index = tuple(data.draw(st.integers(0, dim - 1)) for dim in shape)
    names = NAMES[: len(shape)]
    expected = int(np.ravel_multi_index(index, shape)) if shape else 0
    assert flat(shape, index) == Affine(expected)
    assert at(flat(shape, names), dict(zip(names, index, strict=True))) == expected
    assert flat(shape, names) == flat(shape, [variable(name) for name in names])
    assert strides(shape) == tuple(step // 4 for step in np.empty(shape, "f4").strides)


def test_axes_over_a_shape():
    axes = axes_over((2, 3), "ij")
    assert axes == (Axis("i", 2), Axis("j", 3))
    assert index_of(axes) == (variable("i"), variable("j"))


def test_an_expression_has_functions_that_there_are():
    from convir import ConvirError
    from convir.loops.expr import Apply, Number

    with pytest.raises(ConvirError, match=r"no function 'add' of 1 arguments"):
        Apply("add", (Number(1.0),))
