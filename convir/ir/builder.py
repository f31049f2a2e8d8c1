"""Building graphs node by node, with unique names and remembered provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from convir.ir.errors import ConvirError
from convir.ir.graph import Graph, Node, Parameter, Source, Value, describe_place
from convir.ir.op import Op
from convir.ir.types import TensorType


@dataclass(frozen=True)
class Provenance:
    """Where the nodes being emitted come from."""

    scope: str = ""
    source: Source | None = None
    origin: str = ""
    made_by: str = ""


class Builder:
    """Collects inputs, parameters and nodes; every emitted node goes through its op's shape rule."""

    def __init__(self, name: str, made_by: str = "") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.params: list[Value] = []
        self.provenance = Provenance(made_by=made_by)
        self._nodes: dict[str, Node] = {}
        self._producer: dict[str, Node] = {}
        self._taken: set[str] = set()
        self._next_suffix: dict[str, int] = {}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What has been emitted so far, in order."""
        return tuple(self._nodes.values())

    def __len__(self) -> int:
        """How many nodes have been emitted so far."""
        return len(self._nodes)

    def latest(self, count: int) -> tuple[Node, ...]:
        """The last ``count`` nodes, in order."""
        return tuple(islice(reversed(self._nodes.values()), count))[::-1]

    def reserve(self, base: str) -> str:
        """``base`` if it is free, otherwise ``base_1``, ``base_2``, ...; taken from now on."""
        name = base
        while name in self._taken:
            self._next_suffix[base] = self._next_suffix.get(base, 0) + 1
            name = f"{base}_{self._next_suffix[base]}"
        self._taken.add(name)
        return name

    def input(self, name: str, type: TensorType) -> Value:
        """Declare a graph input."""
        value = Value(self.reserve(name), type)
        self.inputs.append(value)
        return value

    def param(self, name: str, type: TensorType) -> Value:
        """Declare a parameter."""
        value = Value(self.reserve(name), type)
        self.params.append(value)
        return value

    def producer(self, value: Value) -> Node | None:
        """The node that computes ``value``, or None for inputs and parameters."""
        return self._producer.get(value.name)

    @contextmanager
    def at(self, node: Node) -> Iterator[None]:
        """Nodes emitted inside inherit the scope, source and origin of ``node``."""
        before = self.provenance
        self.provenance = replace(before, scope=node.scope, source=node.source, origin=node.origin)
        try:
            yield
        finally:
            self.provenance = before

    def emit(self, op: Op, *operands: Value, name: str = "") -> Value:
        """Append a node and return its (first) result.

        Raises:
            ShapeError, DTypeError: the operands do not fit; the message names the place.
        """
        return self.emit_all(op, operands, name)[0]

    def emit_all(self, op: Op, operands: Sequence[Value], name: str = "") -> tuple[Value, ...]:
        """Append a node and return all its results."""
        provenance = self.provenance
        try:
            types = op.infer(*(operand.type for operand in operands))
        except ConvirError as error:
            raise error.located(describe_place(op.name, provenance.scope, provenance.source)) from None
        base = name or op.name
        outputs = tuple(Value(self.reserve(base if i == 0 else f"{base}.{i}"), t) for i, t in enumerate(types))
        self.append(
            Node(
                op,
                tuple(operands),
                outputs,
                provenance.scope,
                provenance.source,
                provenance.origin or outputs[0].name,
                provenance.made_by,
            )
        )
        return outputs

    def append(self, node: Node) -> None:
        """Append a ready-made node; raises ConvirError if there is one of its name already."""
        if node.name in self._nodes:
            raise ConvirError(f"two nodes are named {node.name!r}", node.where)
        self._taken.update(value.name for value in node.outputs)
        self._nodes[node.name] = node
        self._producer.update((value.name, node) for value in node.outputs)

    def discard(self, node: Node) -> None:
        """Take back an emitted node that nobody reads, and free its names."""
        del self._nodes[node.name]
        for value in node.outputs:
            del self._producer[value.name]
            self._taken.discard(value.name)

    def rename(self, value: Value, name: str) -> Value:
        """Rename the only result of an emitted node that nobody reads yet."""
        node = self._producer[value.name]
        self.discard(node)
        renamed = Value(self.reserve(name), value.type)
        self.append(replace(node, outputs=(renamed,)))
        return renamed

    def finish(self, outputs: Sequence[Value], bindings: Mapping[str, Parameter]) -> Graph:
        """The graph with these outputs."""
        return Graph(self.name, tuple(self.inputs), tuple(self.params), self.nodes, tuple(outputs), bindings)
