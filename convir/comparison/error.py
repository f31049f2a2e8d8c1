"""Numerical errors, against the same computation in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convir.comparison.contender import Array, Contender
from convir.ir import Builder, Graph, Node, TensorType, Value
from convir.ir.ops import Constant, Conv2d, Literal
from convir.passes.manager import Pass

#: (layer or None for the whole net, lowering) -> relative error.
Errors = dict[tuple[str | None, str], float | None]


def relative_error(results: Sequence[Array], exact: Sequence[Array]) -> float | None:
    """The largest difference of any result from the exact one, over the exact one's largest element.

    None where a result or an exact one has elements that are no numbers.
    """
    errors = [_distance(result, other) for result, other in zip(results, exact, strict=True)]
    return float(max(errors, default=0.0)) if np.all(np.isfinite(errors)) else None


def _distance(result: Array, exact: Array) -> float:
    if not (np.isfinite(result).all() and np.isfinite(exact).all()):
        return np.inf
    scale = np.abs(exact).max()
    return float(np.abs(result.astype(exact.dtype) - exact).max() / (scale or 1.0))


def exact_results(
    graph: Graph, passes: Sequence[Pass], inputs: Sequence[Array], cotangents: Sequence[Array]
) -> list[Array]:
    """Outputs and gradients of ``graph`` in float64, from the very numbers that ``inputs`` and the weights are."""
    contender = Contender("float64", widened(graph), passes)
    contender.run([_wide(array) for array in inputs], [_wide(array) for array in cotangents])
    return contender.results


def layer_errors(graph: Graph, passes: Mapping[str, Sequence[Pass]], backward: bool) -> Errors:
    """The error that each lowering makes in each convolution by itself, against the float64 loop nest.

    Each convolution runs alone on random data, a batch of one; errors that a layer inherits from
    the ones before it are not its own.
    """
    from convir.compiler import pipeline

    reference = pipeline(conv="naive", wrt=None if backward else ())
    errors: Errors = {}
    for node in graph.nodes:
        if isinstance(node.op, Conv2d):
            alone = _alone(node)
            operands = [_operand(graph, old, new) for old, new in zip(node.inputs, alone.inputs, strict=True)]
            cotangents = [_normal(alone.outputs[0].type)] if backward else []
            exact = exact_results(alone, reference, operands, cotangents)
            for lowering, lower in passes.items():
                contender = Contender(lowering, alone, lower)
                contender.run(operands, cotangents)
                errors[node.name, lowering] = relative_error(contender.results, exact)
    return errors


def _alone(node: Node) -> Graph:
    """A graph of one convolution of one image."""
    builder = Builder(node.name)
    image, *rest = node.inputs
    operands = [builder.input("image", image.type.with_shape((1, *image.type.shape[1:])))]
    operands += [builder.input(name, value.type) for name, value in zip(("weight", "bias"), rest, strict=False)]
    return builder.finish([builder.emit(node.op, *operands, name="result")], {})


def _operand(graph: Graph, old: Value, new: Value) -> Array:
    """The model's own weights, random images."""
    bound = graph.bindings.get(old.name)
    return _normal(new.type) if bound is None else np.array(bound.data)


def _normal(type: TensorType) -> Array:
    return np.random.default_rng(0).standard_normal(type.shape).astype(type.dtype)


@dataclass(frozen=True)
class _Fixed:
    """A parameter that nobody trains further."""

    data: Array
    requires_grad: bool


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
    bindings = {name: _Fixed(_wide(p.data), p.requires_grad) for name, p in graph.bindings.items()}
    return builder.finish([known[value.name] for value in graph.outputs], bindings)


def _wide_type(type: TensorType) -> TensorType:
    return TensorType(type.shape, "float64") if type.is_float else type


def _wide(array: Array) -> Array:
    return array.astype("float64") if array.dtype.kind == "f" else array
