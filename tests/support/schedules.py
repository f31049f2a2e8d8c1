"""Schedules that fit a nest, however odd: any order, any block, any part unrolled."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from hypothesis import strategies as st

from convir.loops import Nest, Schedule
from convir.loops.expr import Index, Load, Reduce, walk
from convir.runtime.native.vectors import LANES

#: Statements of a block, at most: what makes source long.
_STATEMENTS = 24


@st.composite
def schedules(draw: st.DrawFn, nest: Nest, integers: Collection[str] = ("target_in",)) -> Schedule:
    """Any valid schedule of a simplified nest; ``integers`` are the operands that hold no floating-point numbers."""
    order = tuple(draw(st.permutations([axis.name for axis in nest.axes])))
    choices = [(axis, width) for axis in vector_axes(nest, integers) for width in LANES if width <= nest.extent(axis)]
    vector, width = draw(st.sampled_from([("", 1), *choices]))
    block = {}
    for axis in nest.axes:
        room = _STATEMENTS // prod(block.values())
        count = draw(st.integers(1, max(1, min(3, room, axis.extent // (width if axis.name == vector else 1)))))
        block[axis.name] = count
    unroll: list[str] = []
    for axis in nest.reduced:
        taps = prod(nest.extent(name) for name in (*unroll, axis.name))
        if axis.name != vector and taps * prod(block.values()) <= 2 * _STATEMENTS and draw(st.booleans()):
            unroll.append(axis.name)
    return Schedule(order, vector, width, tuple(block.items()), tuple(unroll))


def vector_axes(nest: Nest, integers: Collection[str] = ("target_in",)) -> list[str]:
    """Axes whose neighbours can share a vector: steps of 0 or 1 in memory, and no class indices beside them."""
    parts = list(nest.parts())
    reductions = [part for part in parts if isinstance(part, Reduce)]
    found = []
    for axis in nest.axes:
        contiguous = all(store.offset.coefficient(axis.name) == 1 for store in nest.stores)
        if contiguous and _steps(parts, axis.name, integers):
            found.append(axis.name)
    for axis in nest.reduced:
        inside = [part for reduction in reductions for part in walk(reduction.body)]
        if reductions and all(axis.name in part.axes for part in reductions) and _steps(inside, axis.name, integers):
            found.append(axis.name)
    return found


def _steps(parts: list, axis: str, integers: Collection[str]) -> bool:
    loads = [part for part in parts if isinstance(part, Load | Index)]
    return all(part.offset.coefficient(axis) in _allowed(part, integers) for part in loads)


def _allowed(part: Load | Index, integers: Collection[str]) -> tuple[int, ...]:
    return (0, 1) if isinstance(part, Load) and part.operand not in integers else (0,)
