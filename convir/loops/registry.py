"""The one table of loop nests: what each op computes, element by element."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from convir.ir import Op, TensorType
from convir.loops.affine import Affine, flat
from convir.loops.expr import Expr, Load
from convir.loops.nest import Program, Store

Place = Affine | str | int


@dataclass(frozen=True)
class Operand:
    """An array that loops read or write: contiguous, of a known type."""

    name: str
    type: TensorType

    def at(self, *index: Place) -> Load:
        """The element at ``index``."""
        return Load(self.name, flat(self.type.shape, index))

    def broadcast(self, *index: Place) -> Load:
        """The element at ``index`` of what this broadcasts to, by NumPy's rule."""
        shape = self.type.shape
        kept = index[len(index) - len(shape) :]
        return self.at(*(0 if dim == 1 else place for dim, place in zip(shape, kept, strict=True)))

    def store(self, index: Sequence[Place], value: Expr) -> Store:
        """The statement that stores ``value`` at ``index``."""
        return Store(self.name, flat(self.type.shape, index), value)


def identifier(name: str, taken: Collection[str]) -> str:
    """``name`` as a variable of Python source that is not taken."""
    variable = re.sub(r"\W", "_", name)
    while variable in taken or iskeyword(variable):
        variable += "_"
    return variable


#: ``rule(op, operands, results)``: the program, or None where loops cannot say it.
Rule = Callable[[Any, Sequence[Operand], Sequence[Operand]], Program | None]

LOOPS: dict[type[Op], Rule] = {}


def loops(*op_types: type[Op]) -> Callable[[Rule], Rule]:
    """Register the decorated rule for these op classes."""

    def register(rule: Rule) -> Rule:
        LOOPS.update(dict.fromkeys(op_types, rule))
        return rule

    return register


def program_for(op: Op, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The loops of ``op``, or None where there is no rule, or it does not hold for these attributes and types.

    Loops compute in floating point, which has not all integers.
    """
    rule = LOOPS.get(type(op))
    if rule is None or not all(result.type.is_float for result in results):
        return None
    return rule(op, operands, results)
