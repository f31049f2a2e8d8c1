"""Loop nests evaluated as they are written down: every point, in float64, without a schedule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convir.loops import Nest, Program
from convir.loops.affine import Affine
from convir.loops.expr import Apply, Expr, Index, Load, Number, Reduce
from convir.loops.nest import Part

#: NumPy's functions with the names that expressions use.
FUNCTIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "where_equal": lambda a, b, then, other: np.where(a == b, then, other),
    "where_less": lambda a, b, then, other: np.where(a < b, then, other),
}


def interpret_program(program: Program, memory: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run the nests in order; ``memory`` holds flat arrays of all operands and results, which are not written to.

    Raises AssertionError where an index is out of range, an element is written twice in a nest, or a temporary is
    read before it is written.
    """
    arrays = {name: np.array(array, np.float64) for name, array in memory.items()}
    arrays.update((name, np.full(type.size, np.nan)) for name, type in program.temporaries)
    for part in program.parts:
        _interpret(part, arrays, {})
    return arrays


def _interpret(part: Part, arrays: dict[str, np.ndarray], outer: Mapping[str, int]) -> None:
    """A nest, or shared loops turn by turn; ``outer`` are the loops around it."""
    if isinstance(part, Nest):
        _interpret_nest(part, arrays, outer)
        return
    for place in range(part.axis.extent):
        for inner in part.parts:
            _interpret(inner, arrays, {**outer, part.axis.name: place})


def _interpret_nest(nest: Nest, arrays: dict[str, np.ndarray], outer: Mapping[str, int]) -> None:
    """All stores at all points; ``outer`` are the loops around the nest."""
    points = _Points(nest, arrays, outer)
    shape = tuple(axis.extent for axis in nest.axes) + (1,) * len(nest.reduced)
    stored = [
        (s.operand, _flat(at(s.offset, points.places), shape), _flat(points.value(s.value), shape)) for s in nest.stores
    ]
    for operand in {operand for operand, _, _ in stored}:
        offsets = np.concatenate([offsets for name, offsets, _ in stored if name == operand])
        assert len(np.unique(offsets)) == len(offsets), f"{operand} is written twice"
    for operand, offsets, values in stored:
        assert offsets.min() >= 0
        arrays[operand][offsets] = values


class _Points:
    """Every point of a nest at once: one dimension of NumPy arrays for each axis, the reduced ones last."""

    def __init__(self, nest: Nest, arrays: Mapping[str, np.ndarray], outer: Mapping[str, int]) -> None:
        every = (*nest.axes, *nest.reduced)
        grids = np.meshgrid(*(np.arange(axis.extent) for axis in every), indexing="ij", sparse=True) if every else []
        self.arrays = arrays
        self.places = {**outer, **{axis.name: grid for axis, grid in zip(every, grids, strict=True)}}
        self.dimension = {axis.name: number for number, axis in enumerate(every)}
        self.extents = [axis.extent for axis in every]

    def value(self, expr: Expr) -> np.ndarray:
        """What ``expr`` is at every point."""
        if isinstance(expr, Number):
            return np.float64(expr.value)
        if isinstance(expr, Index):
            return np.asarray(at(expr.offset, self.places), np.float64)
        if isinstance(expr, Load):
            return _element(self.arrays[expr.operand], at(expr.offset, self.places))
        if isinstance(expr, Apply):
            return FUNCTIONS[expr.function](*map(self.value, expr.arguments))
        return self._reduced(expr)

    def _reduced(self, expr: Reduce) -> np.ndarray:
        body = np.asarray(self.value(expr.body))
        dimensions = tuple(self.dimension[axis] for axis in expr.axes)
        shape = list(np.broadcast_shapes(body.shape, (1,) * len(self.extents)))
        for dimension in dimensions:
            shape[dimension] = self.extents[dimension]
        function = {"add": np.sum, "maximum": np.max}[expr.function]
        return function(np.broadcast_to(body, shape), axis=dimensions, keepdims=True)


def at(offset: Affine, places: Mapping[str, np.ndarray]) -> np.ndarray | int:
    """The value of an index expression: its definition, ``const + sum of coefficient * axis``."""
    return sum((number * places[name] for name, number in offset.terms), start=offset.const)


def _element(array: np.ndarray, offset: np.ndarray | int) -> np.ndarray:
    assert np.min(offset) >= 0
    return array[offset]


def _flat(grid: object, points: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.asarray(grid), points).reshape(-1)
