"""A region: the loops of its body, joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convir.ir import Node, Op, TensorType
from convir.ir.ops import Region
from convir.loops.fuse import fused, with_names
from convir.loops.nest import Part, Program
from convir.loops.registry import Operand, identifier, loops, program_for


@loops(Region)
def region(op: Region, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The body's nests one after the other, joined where that saves a trip through memory."""
    program = one_by_one(op, operands, results)
    return None if program is None else fused(program)


def one_by_one(op: Region, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The body's nests as their rules write them, those of regions in it too: what is joined is not joined again."""
    given = dict(zip((*op.body.inputs, *op.body.outputs), (*operands, *results), strict=True))
    # No rule calls a temporary of its own so, and no two values are called the same.
    places = {value.name: Operand(f"{value.name}#", value.type) for value in given}
    parts, temporaries = list[Part](), dict[str, TensorType]()
    for node in op.body.nodes:
        if node.op.view:
            places[node.name] = Operand(places[node.inputs[0].name].name, node.outputs[0].type)
            continue
        for operand in _between(node, places):
            temporaries[operand.name] = operand.type
        read, made = ([places[value.name] for value in values] for values in (node.inputs, node.outputs))
        program = _program(node.op, read, made)
        if program is None:
            return None
        own = {name: f"{node.name}#{name}" for name, _ in program.temporaries}
        temporaries |= {own[name]: type for name, type in program.temporaries}
        parts += [with_names(part, own) for part in program.parts]
    names = {f"{value.name}#": operand.name for value, operand in given.items()}
    for name in temporaries:
        names[name] = identifier(name, names.values())
    renamed = tuple(with_names(part, names) for part in parts)
    return Program(renamed, tuple((names[name], type) for name, type in temporaries.items()))


def _program(op: Op, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    return one_by_one(op, operands, results) if isinstance(op, Region) else program_for(op, operands, results)


def _between(node: Node, places: dict[str, Operand]) -> Iterator[Operand]:
    """New places for the results of ``node`` that nobody has given one."""
    for value in node.outputs:
        if value.name not in places:
            places[value.name] = Operand(f"{value.name}#", value.type)
            yield places[value.name]
