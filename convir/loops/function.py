"""A whole function: the nests of a program, one after the other, under one signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convir.ir import TensorType
from convir.loops.choose import choose_schedule
from convir.loops.emit import Writer, emit_nest
from convir.loops.nest import Program, simplified
from convir.loops.registry import Operand
from convir.loops.schedule import Processor, Schedule


@dataclass(frozen=True)
class Function:
    """Generated source.

    Attributes:
        name: what it is called.
        operands: what its addresses are: operands, results, temporaries.
        schedules: how each nest runs.
        source: Python source of the one function.
    """

    name: str
    operands: tuple[Operand, ...]
    schedules: tuple[Schedule, ...]
    source: str


def write_function(
    name: str, program: Program, operands: Sequence[Operand], processor: Processor, comment: str = ""
) -> Function:
    """The source of ``program``.

    Args:
        name: what to call the function.
        program: what it computes.
        operands: operands and results that it names, in the order of the parameters; temporaries follow.
        processor: what it is scheduled for.
        comment: first line of the docstring.
    """
    every = (*operands, *(Operand(temporary, type) for temporary, type in program.temporaries))
    floats = frozenset(operand.name for operand in every if operand.type.is_float)
    nests = [simplified(nest) for nest in program.nests]
    itemsize = _itemsize([operand.type for operand in every])
    schedules = tuple(choose_schedule(nest, processor, itemsize, floats) for nest in nests)
    out = Writer()
    with out.indented(f"def {name}(addresses):"):
        if comment:
            out.line(f'"""{comment}"""')
        for place, operand in enumerate(every):
            view = f"{operand.type.dtype}s(addresses[{place}], {operand.type.size})"
            out.line(f"{operand.name} = {view}  # {operand.type}")
        for nest, schedule in zip(nests, schedules, strict=True):
            out.line(f"# {schedule}")
            emit_nest(nest, schedule, floats, out)
    return Function(name, every, schedules, out.text())


def _itemsize(types: Sequence[TensorType]) -> int:
    """Bytes of the numbers computed with."""
    return max((type.itemsize for type in types if type.is_float), default=4)
