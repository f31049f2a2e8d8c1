"""Re-specialising a graph to other input shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from convir.ir import Assumption, ConvirError, Graph, TensorType, UnsupportedError, Value
from convir.ir.builder import Builder


@dataclass(frozen=True)
class InferShapes:
    """``f : f32[8,1,28,28] -> f32[8,10]  =>  f : f32[64,1,28,28] -> f32[64,10]``

    Runs every op's shape rule on the new input types. A size that the traced Python code computed with
    (``x.shape[0] * 2``) must stay what it was.

    Attributes:
        types: new type for each input by name; inputs left out keep theirs.

    Raises:
        ShapeError, DTypeError: an op does not fit the new shapes; the message names the place.
        UnsupportedError: the traced code depended on a size that changes.
        ConvirError: ``types`` names an input that the graph does not have.
    """

    types: Mapping[str, TensorType] = field(default_factory=dict)
    name: str = "infer_shapes"

    def __call__(self, graph: Graph) -> Graph:
        unknown = set(self.types) - {value.name for value in graph.inputs}
        if unknown:
            given = ", ".join(sorted(unknown))
            raise ConvirError(
                f"graph {graph.name} has no input {given}; it has {', '.join(v.name for v in graph.inputs)}"
            )
        return self._respecialise(graph)

    def _respecialise(self, graph: Graph) -> Graph:
        builder = Builder(graph.name)
        known = {v.name: builder.input(v.name, self.types.get(v.name, v.type)) for v in graph.inputs}
        known |= {v.name: builder.param(v.name, v.type) for v in graph.params}
        for node in graph.nodes:
            operands = tuple(known[value.name] for value in node.inputs)
            try:
                types = node.op.infer(*(value.type for value in operands))
            except ConvirError as error:
                _check(graph.assumptions, known)  # says more, where it is the reason
                raise error.located(node.where) from None
            outputs = tuple(Value(old.name, new) for old, new in zip(node.outputs, types, strict=True))
            known.update((value.name, value) for value in outputs)
            builder.append(replace(node, inputs=operands, outputs=outputs))
        _check(graph.assumptions, known)
        respecialised = builder.finish([known[value.name] for value in graph.outputs], graph.bindings)
        return respecialised.replace(assumptions=graph.assumptions)


def _check(assumptions: Sequence[Assumption], known: Mapping[str, Value]) -> None:
    for assumed in assumptions:
        if assumed.value not in known:
            continue
        size = known[assumed.value].type.shape[assumed.axis]
        if size != assumed.size:
            where = f" ({assumed.source})" if assumed.source else ""
            raise UnsupportedError(
                f"the traced code computed with dimension {assumed.axis} of {assumed.value}{where}: it was "
                f"{assumed.size} and would be {size}; trace the model again with the new shapes"
            )


def infer_shapes(graph: Graph, *specs: TensorType | tuple[int, ...]) -> Graph:
    """``graph`` re-specialised to other input shapes.

    Where the traced code computed with a size that changes, or compared it, as in ``x.sum(0) / x.shape[0]``,
    the graph is right for the old size only, and this is an error. Sizes that Python used without
    arithmetic (``range(x.shape[0])``) cannot be noticed.

    Args:
        graph: a traced graph.
        specs: one for each input, in order: a shape (the input keeps its element type) or a TensorType.

    Raises:
        ShapeError, DTypeError: an op does not fit the new shapes; the message names the place.
        UnsupportedError: the traced code depended on a size that changes; the message names its line.
        ConvirError: the number of specs is not the number of inputs.
    """
    if len(specs) != len(graph.inputs):
        raise ConvirError(f"graph {graph.name} has {len(graph.inputs)} inputs, got {len(specs)} shapes")
    types = {
        value.name: spec if isinstance(spec, TensorType) else value.type.with_shape(spec)
        for value, spec in zip(graph.inputs, specs, strict=True)
    }
    return InferShapes(types)(graph)
