"""A graph that is being drawn, node by node."""

from __future__ import annotations

from hypothesis import strategies as st

from convir.ir import Builder, Op, TensorType, Value, ops

#: Elements of a value, at most.
_LARGEST = 3000

#: Moved or compared, never rounded: equal elements stay equal, whoever computes them.
_EXACT = (ops.Relu, ops.Neg, ops.Max, ops.Transpose, ops.BroadcastTo, ops.Reshape, ops.Flatten, ops.Pad2d, ops.Crop2d)
_EXACT += (ops.Dilate2d, ops.FlipWeight)


class Draft:
    """A graph being drawn: the values so far, and those that rounding has not touched."""

    def __init__(self, draw: st.DrawFn, dtype: str) -> None:
        self.draw, self.dtype = draw, dtype
        self.builder = Builder("drawn")
        self.values: list[Value] = []
        self.exact: set[str] = set()

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def pair(self, least: int, most: int) -> tuple[int, int]:
        return self.number(least, most), self.number(least, most)

    def rarely(self) -> bool:
        return self.draw(st.integers(0, 7)) == 7

    def input(self, name: str, *shape: int, dtype: str = "") -> Value:
        value = self.builder.input(name, TensorType(shape, dtype or self.dtype))
        self.exact.add(value.name)
        return value

    def pick(self, rank: int | None = None, exact: bool = False) -> Value | None:
        """One of the values, of this rank; often one of the last."""
        fitting = [v for v in self.values if rank in (None, v.type.rank) and (v.name in self.exact or not exact)]
        return self.draw(st.sampled_from([*fitting, *fitting[-2:]])) if fitting else None

    def operand(self, name: str, *shape: int) -> Value:
        """A value of this shape, or a new input."""
        fitting = [value for value in self.values if value.type.shape == shape]
        if fitting and self.draw(st.booleans()):
            return self.draw(st.sampled_from(fitting))
        return self.input(name, *shape)

    def emit(self, op: Op, *operands: Value) -> Value:
        """The result of one more node."""
        value = self.builder.emit(op, *operands)
        if isinstance(op, _EXACT) and all(operand.name in self.exact for operand in operands):
            self.exact.add(value.name)
        return value

    def keep(self, value: Value) -> None:
        if value.type.size <= _LARGEST:
            self.values.append(value)
