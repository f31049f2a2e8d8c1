"""A whole function: the nests of a program, one after the other, under one signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convir.ir import TensorType
from convir.loops.choose import choose_schedule
from convir.loops.cycles import CycleModel
from convir.loops.emit import Writer, emit_nest
from convir.loops.nest import Nest, Program, Together, simplified
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
        cycles: of one core, as the model that chose the schedules estimates them.
    """

    name: str
    operands: tuple[Operand, ...]
    schedules: tuple[Schedule, ...]
    source: str
    cycles: float


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
    itemsize = _itemsize([operand.type for operand in every])
    out = Writer()
    with out.indented(f"def {name}(addresses):"):
        if comment:
            out.line(f'"""{comment}"""')
        for place, operand in enumerate(every):
            view = f"{operand.type.dtype}s(addresses[{place}], {operand.type.size})"
            out.line(f"{operand.name} = {view}  # {operand.type}")
        chosen = [each for part in program.parts for each in _emit(part, processor, itemsize, floats, out)]
    schedules = tuple(schedule for schedule, _ in chosen)
    return Function(name, every, schedules, out.text(), sum(cycles for _, cycles in chosen))


def _emit(
    part: Nest | Together, processor: Processor, itemsize: int, floats: frozenset[str], out: Writer
) -> list[tuple[Schedule, float]]:
    """Write a part with the schedules that suit it best; returns them, each with the cycles that its nest takes."""
    if isinstance(part, Together):
        with out.loop(part.axis.name, 0, part.axis.extent):
            chosen = [each for inner in part.parts for each in _emit(inner, processor, itemsize, floats, out)]
        return [(schedule, cycles * part.axis.extent) for schedule, cycles in chosen]
    nest = simplified(part)
    schedule = choose_schedule(nest, processor, itemsize, floats)
    out.line(f"# {schedule}")
    emit_nest(nest, schedule, floats, out)
    return [(schedule, CycleModel(nest, processor, itemsize).cycles(schedule))]


def _itemsize(types: Sequence[TensorType]) -> int:
    """Bytes of the numbers computed with."""
    return max((type.itemsize for type in types if type.is_float), default=4)
