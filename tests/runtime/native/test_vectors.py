"""The functions that generated source is written in: as plain Python what they say, as machine code the same."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from convir.runtime.native import vectors
from convir.runtime.native.vectors import BY_LANES, LANES, VIEWS

SPECIAL = [np.nan, np.inf, -np.inf, -2.0, -0.5, 0.0, 1.0, 3.0]
#: Three operands of 16 numbers: special values against each other, and ordinary ones.
A, B, C = ([*SPECIAL, *SPECIAL[::-1]], [*SPECIAL[3:], *SPECIAL[:3], *SPECIAL], [*np.linspace(-2, 2, 16)])

#: What is computed of ``a``, ``b`` and ``c``: name -> expression in vectors or numbers, and the same in NumPy.
EXPRESSIONS = {
    "add": ("a + b", lambda a, b, c: a + b),
    "sub": ("a - b", lambda a, b, c: a - b),
    "mul": ("a * b", lambda a, b, c: a * b),
    "div": ("a / b", lambda a, b, c: a / b),
    "neg": ("-a", lambda a, b, c: -a),
    "fma": ("fma(a, b, c)", lambda a, b, c: a * b + c),
    "maximum": ("maximum(a, b)", lambda a, b, c: np.maximum(a, b)),
    "where_equal": ("where_equal(a, b, c, a)", lambda a, b, c: np.where(a == b, c, a)),
    "where_less": ("where_less(a, b, c, a)", lambda a, b, c: np.where(a < b, c, a)),
    "sqrt": ("sqrt(a)", lambda a, b, c: np.sqrt(a)),
    "exp": ("exp(c)", lambda a, b, c: np.exp(c)),
    "exp of special": ("exp(a)", lambda a, b, c: np.exp(a)),
    "log": ("log(a)", lambda a, b, c: np.log(a)),
    "tanh": ("tanh(a)", lambda a, b, c: np.tanh(a)),
}


def source_of(lanes: int, dtype: str) -> str:
    """All expressions on vectors of ``lanes``, or on single numbers, and sums and maxima across the lanes."""
    lines = ["def everything(addresses):"]
    lines += [f"    {name}s_ = {dtype}s(addresses[{place}], 16)" for place, name in enumerate("abc")]
    lines.append(f"    out = {dtype}s(addresses[3], {16 * len(EXPRESSIONS) + 32})")
    lines.append(f"    for at in range(0, 16, {lanes}):")
    for name in "abc":
        load = f"{name}s_[at]" if lanes == 1 else f"load{lanes}({name}s_, at)"
        lines.append(f"        {name} = {load}")
    for row, (text, _) in enumerate(EXPRESSIONS.values()):
        place = f"{16 * row} + at"
        lines.append(f"        out[{place}] = {text}" if lanes == 1 else f"        store{lanes}(out, {place}, {text})")
    if lanes > 1:
        lines.append(f"        out[{16 * len(EXPRESSIONS)} + at] = total{lanes}(c)")
        largest = f"largest{lanes}(a) + largest{lanes}(splat{lanes}(real(0.25)))"
        lines.append(f"        out[{16 * len(EXPRESSIONS) + 16} + at] = {largest}")
    return "\n".join(lines) + "\n"


def expected(lanes: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = (np.array(values, dtype) for values in (A, B, C))
    with np.errstate(all="ignore"):
        rows = np.array([function(a, b, c) for _, function in EXPRESSIONS.values()])
    parts = a.reshape(-1, lanes)
    return rows, c.reshape(-1, lanes).sum(axis=1), parts.max(axis=1) + np.asarray(0.25, dtype)


def found(run, lanes: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays = [np.array(values, dtype) for values in (A, B, C)]
    out = np.zeros(16 * len(EXPRESSIONS) + 32, dtype)
    run(np.array([array.ctypes.data for array in (*arrays, out)], np.intp))
    rows = out[: 16 * len(EXPRESSIONS)].reshape(len(EXPRESSIONS), 16)
    return rows, out[16 * len(EXPRESSIONS) :][:16:lanes], out[16 * len(EXPRESSIONS) + 16 :][:16:lanes]


def assert_equal(got, wanted, lanes: int, dtype: str) -> None:
    rtol = 1e-6 if dtype == "float32" else 1e-14
    for name, ours, theirs in zip(EXPRESSIONS, got[0], wanted[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, err_msg=name)
    if lanes > 1:
        np.testing.assert_allclose(got[1], wanted[1], rtol=rtol, atol=rtol, err_msg="total")
        np.testing.assert_array_equal(got[2], wanted[2], err_msg="largest")


def plain(source: str, dtype: str):
    names = {**vars(vectors), "real": np.dtype(dtype).type}
    exec(source, names)

    def run(addresses: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            names["everything"](addresses)

    return run


def compiled(source: str, dtype: str):
    pytest.importorskip("numba")
    from convir.runtime.native import build

    code = build.compiled("everything", build.module_text(source, dtype))
    return lambda addresses: build.entry(code)(addresses.ctypes.data)


@pytest.mark.parametrize("make", [plain, compiled])
@pytest.mark.parametrize(
    ("lanes", "dtype"), [(1, "float32"), *((n, "float32") for n in LANES), (1, "float64"), (4, "float64")]
)
def test_every_function(make, lanes, dtype):
    run = make(source_of(lanes, dtype), dtype)
    assert_equal(found(run, lanes, dtype), expected(lanes, dtype), lanes, dtype)


def test_names_by_lanes():
    for stem, table in BY_LANES.items():
        assert tuple(table) == LANES
        for lanes, function in table.items():
            assert getattr(vectors, f"{stem}{lanes}") is function


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_the_memory_at_an_address(name):
    array = np.arange(5).astype(name.removesuffix("s"))
    view = VIEWS[name](array.ctypes.data, 5)
    assert view.dtype == array.dtype
    np.testing.assert_array_equal(view, array)
    array[2] = 0
    np.testing.assert_array_equal(view, array)
    view[0] = 1
    assert array[0] == 1
    assert view.ctypes.data == array.ctypes.data


def test_a_view_may_begin_anywhere():
    """Operands lie at multiples of their element's size."""
    block = (ctypes.c_char * 24)()
    np.testing.assert_array_equal(vectors.float32s(ctypes.addressof(block) + 4, 5), np.zeros(5))


def test_a_vector_is_a_copy():
    """Stores after a load do not change what was loaded, as in a register."""
    array = np.arange(4.0)
    loaded = vectors.load2(array, 1)
    vectors.store2(array, 1, loaded * 10)
    assert (loaded.tolist(), array.tolist()) == ([1, 2], [0, 10, 20, 3])
