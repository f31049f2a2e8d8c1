"""A region: the loops of its body, joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convir.ir import Node, TensorType
from convir.ir.ops import Region
from convir.loops.fuse import fused, with_names
from convir.loops.nest import Program
from convir.loops.registry import Operand, loops, program_for


@loops(Region)
def region(op: Region, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The body's nests one after the other, joined where that saves a trip through memory."""
    places = {value.name: operand for value, operand in zip(op.body.inputs, operands, strict=True)}
    places |= {value.name: operand for value, operand in zip(op.body.outputs, results, strict=True)}
    nests, temporaries = [], dict[str, TensorType]()
    for node in op.body.nodes:
        if node.op.view:
            places[node.name] = Operand(places[node.inputs[0].name].name, node.outputs[0].type)
            continue
        for operand in _between(node, places):
            temporaries[operand.name] = operand.type
        program = program_for(node.op, [places[v.name] for v in node.inputs], [places[v.name] for v in node.outputs])
        if program is None:
            return None
        own = {name: f"{node.name}_{name}" for name, _ in program.temporaries}
        temporaries |= {own[name]: type for name, type in program.temporaries}
        nests += [with_names(nest, own) for nest in program.nests]
    return fused(Program(tuple(nests), tuple(temporaries.items())))


def _between(node: Node, places: dict[str, Operand]) -> Iterator[Operand]:
    """New places for the results of ``node`` that nobody has given one."""
    for value in node.outputs:
        if value.name not in places:
            places[value.name] = Operand(f"{value.name}_", value.type)
            yield places[value.name]
