"""A region in NumPy: its body, one op after the other."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir import Node, TensorType
from convir.ir.ops import Constant, Region
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, kernel_for


def _scratch(op: Region, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """What the body computes on the way, and what its kernels work in."""
    names = {value.name for value in op.body.outputs}
    between = [v.type for node in _computing(op) for v in node.outputs if v.name not in names]
    return [*between, *(type for node in _computing(op) for type in _workspace(node))]


@kernel(Region, scratch=_scratch)
def region(op: Region, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Every op of the body on its own."""
    arrays = {value.name: array for value, array in zip(op.body.inputs, inputs, strict=True)}
    arrays |= {value.name: array for value, array in zip(op.body.outputs, outputs, strict=False)}
    scratch = iter(outputs[len(op.body.outputs) :])
    for node in _computing(op):
        arrays |= {value.name: next(scratch) for value in node.outputs if value.name not in arrays}
    steps: list[Step] = []
    for node in op.body.nodes:
        operands = [arrays[value.name] for value in node.inputs]
        if isinstance(node.op, Constant):
            arrays[node.name] = node.op.value.array
        elif node.op.view:
            arrays[node.name] = operands[0].reshape(node.outputs[0].type.shape)
        else:
            results = [arrays[value.name] for value in node.outputs]
            workspace = [next(scratch) for _ in _workspace(node)]
            steps.append(kernel_for(node.op).bind(node.op, operands, [*results, *workspace]))
    return in_order(steps)


def _computing(op: Region) -> list[Node]:
    """The body's nodes that are neither views nor constants."""
    return [node for node in op.body.nodes if not (node.op.view or isinstance(node.op, Constant))]


def _workspace(node: Node) -> Sequence[TensorType]:
    operands = [value.type for value in node.inputs]
    return kernel_for(node.op).scratch(node.op, operands, [value.type for value in node.outputs])
