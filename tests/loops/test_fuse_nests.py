"""What joining makes of nests that no rule writes: each thing that it asks, by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.loop_interpreter import interpret_program
from support.regions import parts

from convir.ir import TensorType
from convir.loops import Nest, Program, Store
from convir.loops.affine import Affine, Axis, flat, variable
from convir.loops.expr import Expr, Index, Load, Number, Reduce, add, mul
from convir.loops.fuse import fused

#: Of the buffer between two nests by hand: channels, rows, columns and samples.
SHAPE = {"c": 2, "h": 6, "w": 3, "n": 2}


def nest(stored: str, value: Expr, axes: dict[str, int] = SHAPE) -> Nest:
    """``stored[axes] = value`` on contiguous memory."""
    loops = tuple(Axis(name, extent) for name, extent in axes.items())
    return Nest(loops, (), (Store(stored, flat([*axes.values()], [*axes]), value),))


def doubled(axes: dict[str, int] = SHAPE) -> Nest:
    """``t = x + x``"""
    x = Load("x", flat([*axes.values()], [*axes]))
    return nest("t", add(x, x), axes)


def pooled(move: Callable[[Affine], Affine] = lambda place: place, channels: int = 2) -> Nest:
    """The sum of two rows of ``t`` at each step of two rows; ``move`` says where it reads instead."""
    axes = {"c": channels, "h": 3, "w": 3, "n": 2}
    place = flat([*SHAPE.values()], ["c", variable("h") * 2 + variable("k"), "w", "n"])
    reader = nest("y", Reduce("add", ("k",), Load("t", move(place))), axes)
    return replace(reader, reduced=(Axis("k", 2),))


def assert_same(writer: Nest, reader: Nest, shape: tuple[int, ...] = (2, 6, 3, 2), size: int = 72) -> Program:
    """Joined or not, ``y`` is the same, for ``t`` of this shape and ``x`` of this size; returns what is joined."""
    rng, program = np.random.default_rng(0), Program((writer, reader), (("t", TensorType(shape, "float64")),))
    memory = {"x": rng.standard_normal(size), "y": np.full(reader.points, np.nan)}
    after = fused(program)
    found, expected = (interpret_program(each, memory)["y"] for each in (after, program))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    return after


@pytest.mark.parametrize(("taken", "name"), [(["row"], "row_"), (["row", "row_"], "row__")])
def test_the_shared_loop_has_a_name_of_its_own(taken, name):
    """No rule has axes called so; a nest by hand may."""
    names = ["c", "h", *taken, "n"][:4]
    after = assert_same(doubled(dict(zip(names, SHAPE.values(), strict=True))), pooled())
    assert parts(after) == ["3 rows: t <- x; y <- t"]
    assert after.parts[0].axis == Axis(name, 3)


def test_a_counted_place_is_kept():
    """``Index`` is where a nest is, not what it reads: flattened it would count otherwise."""
    columns = nest("y", add(Load("t", variable("j")), Index(variable("j"))), {"j": 12})
    assert parts(assert_same(doubled({"i": 3, "k": 4}), columns, (3, 4))) == ["t <- x", "y <- t"]


def test_a_factor_of_all_terms_is_not_computed_for_each():
    """It lies at the writer's points, and yet in a reduction: the sum would be added up again for every term."""
    rows = flat((3, 4), ("i", "k"))
    summed = Nest(
        (Axis("i", 3),), (Axis("k", 4),), (Store("t", variable("i"), Reduce("add", ("k",), Load("x", rows))),)
    )
    scaled = Reduce("add", ("k",), mul(Load("t", variable("i")), Load("x", rows)))
    reader = replace(summed, stores=(Store("y", variable("i"), scaled),))
    assert parts(assert_same(summed, reader, (3,), 12)) == ["t <- x", "y <- t x"]


def test_a_reader_that_skips_elements_is_no_run_over_memory():
    j = variable("j")
    reader = nest("y", add(Load("t", j), Load("x", j * 2)), {"j": 12})
    assert parts(assert_same(doubled({"i": 3, "k": 4}), reader, (3, 4))) == ["t <- x", "y <- t x"]


def test_what_a_reader_reduces_over_is_none_of_the_writers_loops():
    """Called the same, the loop over points would be the one that is added up."""
    x = Load("x", flat((3, 4), ("i", "k")))
    double = mul(Load("x", variable("k")), Number(2.0))
    total = add(Load("t", variable("i")), Reduce("add", ("k",), x))
    writer = Nest((Axis("k", 3),), (), (Store("t", variable("k"), double),))
    reader = Nest((Axis("i", 3),), (Axis("k", 4),), (Store("y", variable("i"), total),))
    (joined,) = assert_same(writer, reader, (3,), 12).parts
    assert [axis.name for axis in (*joined.axes, *joined.reduced)] == ["k", "kk"]


#: Where a reader of one channel of two reads: its rows are those of the writer, or they are not.
MOVED = {
    "the first channel": (lambda place: place, True),
    "one element further": (lambda place: place + 1, False),
    "one row further": (lambda place: place + 6, False),
    "the second channel": (lambda place: place + 36, False),
    "rows that overlap": (lambda place: place + variable("w") * 2, False),
    "columns from the last to the first": (lambda place: place + variable("w") * -4 + 4, True),
    "rows from the last to the first": (lambda place: place + variable("k") * -12 + 6, False),
}


@pytest.mark.parametrize(("move", "fits"), MOVED.values(), ids=MOVED.keys())
def test_rows_are_shared_where_all_that_is_read_lies_in_them(move, fits):
    """The other channel leaves room in the buffer that is not for this one."""
    after = assert_same(doubled(), pooled(move, 1))
    assert (parts(after) == ["3 rows: t <- x; y <- t"]) == fits


#: What is added from ``t``: an element of both rows, or of none of them; or of rows that follow by other steps.
LAST = {"first": (12, 0, True), "last": (12, 11, True), "next row": (12, 12, False), "other steps": (6, 0, False)}


@pytest.mark.parametrize(("step", "further", "fits"), LAST.values(), ids=LAST.keys())
def test_every_load_has_to_lie_in_the_rows(step, further, fits):
    reader = pooled(channels=1)
    (store,) = reader.stores
    last = Load("t", variable("h") * step + further)
    reader = replace(reader, stores=(replace(store, value=add(store.value, last)),))
    assert (parts(assert_same(doubled(), reader)) == ["3 rows: t <- x; y <- t"]) == fits
