"""The same computation in float64, which errors are relative to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convir.comparison.contender import Array, Contender, Operands
from convir.ir import Builder, Graph, TensorType, Value
from convir.ir.ops import Constant, Literal
from convir.passes.manager import Pass
from convir.selection.trial import Fixed


def exact_results(graph: Graph, passes: Sequence[Pass], operands: Operands) -> list[Array]:
    """Outputs and gradients of ``graph`` in float64, from the very numbers that operands and weights are."""
    contender = Contender("float64", widened(graph), passes)
    inputs, cotangents = operands
    contender.run(([_wide(array) for array in inputs], [_wide(array) for array in cotangents]))
    return contender.results


def widened(graph: Graph) -> Graph:
    """The same graph in float64, with copies of the parameters."""
    builder = Builder(graph.name)
    known = {value.name: builder.input(value.name, _wide_type(value.type)) for value in graph.inputs}
    known |= {value.name: builder.param(value.name, _wide_type(value.type)) for value in graph.params}
    for node in graph.nodes:
        op = Constant(Literal(_wide(node.op.value.array))) if isinstance(node.op, Constant) else node.op
        operands = tuple(known[value.name] for value in node.inputs)
        types = op.infer(*(value.type for value in operands))
        outputs = tuple(Value(old.name, type) for old, type in zip(node.outputs, types, strict=True))
        known |= {value.name: value for value in outputs}
        builder.append(replace(node, op=op, inputs=operands, outputs=outputs))
    bindings = {name: Fixed(_wide(p.data), p.requires_grad) for name, p in graph.bindings.items()}
    return builder.finish([known[value.name] for value in graph.outputs], bindings)


def _wide_type(type: TensorType) -> TensorType:
    return TensorType(type.shape, "float64") if type.is_float else type


def _wide(array: Array) -> Array:
    return array.astype("float64") if array.dtype.kind == "f" else array
