"""Dropping and merging axes keeps what is stored where: found by enumerating all points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import program_of
from support.loop_cases import LOOP_OPS, loop_cases, types_of
from support.loop_interpreter import at, interpret_program

from convir.loops import Nest, Program, Store
from convir.loops.affine import Affine, Axis, axes_over, variable
from convir.loops.expr import Apply, Expr, Index, Load, Number, Reduce, add, mul
from convir.loops.nest import simplified

#: Elements of every operand of a nest that is drawn.
_SIZE = 512


def points(axes: tuple[Axis, ...]) -> list[dict[str, int]]:
    """Every point of these axes."""
    names = [axis.name for axis in axes]
    return [dict(zip(names, place, strict=True)) for place in product(*(range(axis.extent) for axis in axes))]


def meaning(nest: Nest) -> Counter:
    """Every store with what it stores, loads and reductions written out: how often each happens."""
    return Counter(
        (store.operand, at(store.offset, point), written_out(store.value, point, nest))
        for point in points(nest.axes)
        for store in nest.stores
    )


def written_out(expr: Expr, point: Mapping[str, int], nest: Nest) -> object:
    if isinstance(expr, Load | Index):
        return type(expr), getattr(expr, "operand", None), at(expr.offset, point)
    if isinstance(expr, Apply):
        return expr.function, tuple(written_out(argument, point, nest) for argument in expr.arguments)
    if isinstance(expr, Reduce):
        axes = tuple(axis for axis in nest.reduced if axis.name in expr.axes)
        terms = (written_out(expr.body, {**point, **tap}, nest) for tap in points(axes))
        return expr.function, frozenset(Counter(terms).items())
    return expr


@pytest.mark.parametrize("op_type", LOOP_OPS, ids=lambda op: op.name)
@given(data=st.data())
@settings(max_examples=15)
def test_rules_keep_their_meaning(op_type, data):
    op, arrays = data.draw(loop_cases(op_type))
    for nest in map(_alone, getattr(program_of(op, types_of(arrays)), "nests", ())):
        if nest.points * _taps(nest) < 1000:
            assert meaning(simplified(nest)) == meaning(nest)


def _alone(nest: Nest) -> Nest:
    """In the first turn of the loops around it."""
    own = {axis.name for axis in (*nest.axes, *nest.reduced)}
    return nest.moved(lambda offset: offset.without(set(offset.axes) - own))


def _taps(nest: Nest) -> int:
    return int(np.prod([axis.extent for axis in nest.reduced]))


@st.composite
def nests(draw: st.DrawFn) -> Nest:
    """Small nests whose coefficients often make neighbours one run of memory, and often nearly."""
    extents = st.integers(1, 3)
    axes = tuple(Axis(name, draw(extents)) for name in "hij"[: draw(st.integers(0, 3))])
    reduced = tuple(Axis(name, draw(extents)) for name in "klm"[: draw(st.integers(0, 3))])

    def offset(allowed: tuple[Axis, ...]) -> Affine:
        step, terms = draw(st.integers(0, 2)), {}
        for axis in reversed(allowed):
            terms[axis.name] = step
            step = step * axis.extent if draw(st.integers(0, 4)) else draw(st.integers(0, 12))
        return Affine.of(terms, draw(st.integers(0, 3)))

    def element(allowed: tuple[Axis, ...]) -> Expr:
        kind = draw(st.sampled_from(["load", "load", "load", "number", "index"]))
        if kind == "load":
            return Load(draw(st.sampled_from("xy")), offset(allowed))
        return Number(2.0) if kind == "number" else Index(offset(allowed))

    def reduction() -> Expr:
        chosen = tuple(axis for axis in reduced if draw(st.booleans()))
        names = tuple(axis.name for axis in chosen)
        return Reduce(draw(st.sampled_from(["add", "maximum"])), names, mul(element(axes + chosen), element(axes)))

    value = element(axes)
    for _ in range(draw(st.integers(0, 2))):
        value = add(value, reduction())
    step, terms = 1, {}
    for axis in reversed(axes):
        terms[axis.name] = step
        step *= axis.extent + draw(st.sampled_from([0, 0, 0, 1]))
    return Nest(axes, reduced, (Store("out", Affine.of(terms), value),))


@given(nests())
def test_any_nest_keeps_its_meaning(nest):
    after = simplified(nest)
    assert meaning(after) == meaning(nest)
    assert simplified(after) == after
    assert all(axis.extent > 1 for axis in (*after.axes, *after.reduced))


@given(nests(), st.integers(0, 2**32 - 1))
def test_any_nest_computes_the_same(nest, seed):
    rng = np.random.default_rng(seed)
    memory = {name: rng.standard_normal(_SIZE) for name in "xy"} | {"out": np.zeros(_SIZE)}
    before, after = (interpret_program(Program((each,)), memory)["out"] for each in (nest, simplified(nest)))
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)


def one(axes: tuple[Axis, ...], reduced: tuple[Axis, ...], offset: Affine, value: Expr) -> Nest:
    return Nest(axes, reduced, (Store("out", offset, value),))


def test_a_contiguous_copy_is_one_loop():
    axes, offset = axes_over((4, 1, 5), "ijk"), Affine.of({"i": 5, "j": 5, "k": 1})
    assert simplified(one(axes, (), offset, Load("x", offset))) == one(
        (Axis("k", 20),), (), variable("k"), Load("x", variable("k"))
    )


def test_a_gap_between_rows_keeps_two_loops():
    axes, offset = axes_over((4, 5), "ij"), Affine.of({"i": 5, "j": 1})
    nest = one(axes, (), offset, Load("x", Affine.of({"i": 6, "j": 1})))
    assert simplified(nest) == nest


def test_a_counted_axis_is_merged_only_where_the_count_goes_on():
    axes, offset = axes_over((4, 5), "ij"), Affine.of({"i": 5, "j": 1})
    nest = one(axes, (), offset, Index(variable("j")))
    assert simplified(nest) == nest
    assert simplified(one(axes, (), offset, Index(offset))) == one(
        (Axis("j", 20),), (), variable("j"), Index(variable("j"))
    )


def test_axes_of_different_reductions_are_not_merged():
    """Nothing that is loaded tells them apart, and yet they count."""
    reduced = axes_over((3, 4), "kl")
    nest = one((), reduced, Affine(), add(Reduce("add", ("k",), Number(1.0)), Reduce("add", ("k", "l"), Number(1.0))))
    assert simplified(nest) == nest
    found = interpret_program(Program((nest,)), {"out": np.zeros(1)})["out"]
    assert found == [3 + 12]
