"""Source of scalar and vector expressions, in which each load is written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isnan

from convir.loops.affine import Affine
from convir.loops.emit.writer import Writer
from convir.loops.expr import Apply, Expr, Index, Load, Number, Reduce

#: How many steps a point lies from the one that the loop variables say, along each axis.
Point = tuple[tuple[str, int], ...]

_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


@dataclass
class Scope:
    """Expressions at one place of the source.

    Attributes:
        out: where statements go.
        floats: operands that hold floating-point numbers; elements of others are converted.
        lanes: 1, or how many neighbours along ``vector`` are computed at once.
        vector: the axis of the lanes.
        unrolled: axes that have no loop variable here.
        sums: names of the values that reductions have: (reduction, point) -> name.
    """

    out: Writer
    floats: frozenset[str]
    lanes: int
    vector: str
    unrolled: tuple[str, ...] = ()
    sums: Mapping[tuple[Reduce, Point], str] = field(default_factory=dict)
    _addresses: dict[tuple[tuple[str, int], ...], str] = field(default_factory=dict)
    _known: dict[tuple[str, Affine], str] = field(default_factory=dict)

    def address(self, offsets: Iterable[Affine]) -> None:
        """Write what offsets have in common, the part that depends on loop variables, once for each kind."""
        for offset in offsets:
            terms = offset.without(self.unrolled).terms
            if (len(terms) > 1 or (terms and terms[0][1] != 1)) and terms not in self._addresses:
                name = self._addresses[terms] = self.out.fresh("at")
                self.out.line(f"{name} = {Affine(0, terms)}")

    def forget(self) -> None:
        """What is needed again from here on is loaded again: registers are few."""
        self._known.clear()

    def value(self, expr: Expr, point: Point) -> str:
        """Source of ``expr`` at ``point``."""
        if isinstance(expr, Reduce):
            return self.sums[expr, point]
        if isinstance(expr, Number):
            return self.number(expr.value)
        if isinstance(expr, Index):
            return self._splat(f"real({self._text(self._resolved(expr.offset, point))})")
        if isinstance(expr, Load):
            return self._loaded(expr.operand, self._resolved(expr.offset, point))
        return self._applied(expr, point)

    def number(self, value: float) -> str:
        """A literal, in every lane."""
        if isnan(value):
            return self._splat("real(np.nan)")
        return self._splat({inf: "infinity", -inf: "-infinity"}.get(value, f"real({float(value)!r})"))

    def store(self, operand: str, offset: Affine, value: str, point: Point) -> None:
        """Write the statement that stores ``value``."""
        at = self._text(self._resolved(offset, point))
        if self.lanes == 1:
            self.out.line(f"{operand}[{at}] = {value}")
        else:
            self.out.line(f"store{self.lanes}({operand}, {at}, {value})")

    def _splat(self, scalar: str) -> str:
        return scalar if self.lanes == 1 else f"splat{self.lanes}({scalar})"

    def _resolved(self, offset: Affine, point: Point) -> Affine:
        return offset.at(dict(point)).without(self.unrolled)

    def _text(self, offset: Affine) -> str:
        name = self._addresses.get(offset.terms)
        return str(offset) if name is None else str(Affine.of({name: 1}, offset.const))

    def _loaded(self, operand: str, offset: Affine) -> str:
        key = (operand, offset)
        if key not in self._known:
            element = f"{operand}[{self._text(offset)}]"
            if operand not in self.floats:
                element = f"real({element})"
            if self.lanes > 1 and offset.coefficient(self.vector):
                source = f"load{self.lanes}({operand}, {self._text(offset)})"
            else:
                source = self._splat(element)
            self._known[key] = self.out.fresh("t")
            self.out.line(f"{self._known[key]} = {source}")
        return self._known[key]

    def _applied(self, expr: Apply, point: Point) -> str:
        arguments = [self.value(argument, point) for argument in expr.arguments]
        if expr.function == "neg":
            return f"(-{arguments[0]})"
        if expr.function in _OPERATORS:
            return f"({arguments[0]} {_OPERATORS[expr.function]} {arguments[1]})"
        return f"{expr.function}({', '.join(arguments)})"
