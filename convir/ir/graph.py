"""What a graph is: values, nodes and the graph itself, all immutable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from convir.ir.errors import ConvirError
from convir.ir.op import Op
from convir.ir.types import TensorType

if TYPE_CHECKING:
    from pathlib import Path

    import networkx as nx

    from convir.ir.drawing.flops import Flops


class Parameter(Protocol):
    """What a graph needs of a model's parameter: the live array behind it."""

    @property
    def data(self) -> Any:
        """The array; executables read it at every call."""

    @property
    def requires_grad(self) -> bool:
        """Whether training changes it."""


@dataclass(frozen=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


@dataclass(frozen=True)
class Assumption:
    """A size that the traced Python code computed with or branched on: the graph is right for this one only.

    Attributes:
        value: name of the value whose size it was.
        axis: which dimension of it.
        size: what it was.
        source: the user's line.
    """

    value: str
    axis: int
    size: int
    source: Source | None


@dataclass(frozen=True)
class Value:
    """One SSA value: a name, unique in its graph, and a type."""

    name: str
    type: TensorType

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True)
class Node:
    """One operation applied to values.

    Attributes:
        op: the operation with its attributes.
        inputs: operands, in the op's order.
        outputs: results, in the op's order.
        scope: module path in the user's model (``features.0``).
        source: the user's file and line.
        origin: name of the model node this one computes (a part of); its own name when traced.
        made_by: name of the pass that made the node; empty when traced.
        recomputes: name of the node in the forward graph that this one computes again, or empty.
    """

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    scope: str = ""
    source: Source | None = None
    origin: str = ""
    made_by: str = ""
    recomputes: str = ""

    @property
    def name(self) -> str:
        """The node's name is its first result's."""
        return self.outputs[0].name

    def scratch_name(self, index: int) -> str:
        """The name under which a memory plan holds a temporary array of this node's kernel."""
        return f"{self.name}#{index}"

    @property
    def where(self) -> str:
        """The place for error messages: ``conv2d at features.3 (net.py:12)``."""
        return describe_place(self.op.name, self.scope, self.source)


def describe_place(op_name: str, scope: str, source: Source | None) -> str:
    """``conv2d at features.3 (net.py:12)``, with what is known of it."""
    at = f" at {scope}" if scope else ""
    line = f" ({source})" if source else ""
    return f"{op_name}{at}{line}"


@dataclass(frozen=True)
class Graph:
    """A dataflow graph in SSA form, nodes in topological order.

    Attributes:
        name: the model's name.
        inputs: values the caller passes at every call.
        params: values read from the model (weights), live.
        nodes: operations, each after all that it reads.
        outputs: results; a value may stand here twice.
        bindings: parameter name -> the object whose ``.data`` is the live array. Not part of
            equality; a graph built by hand may leave it empty.
        assumptions: sizes that the traced code depended on. Rewritten graphs have none: they are
            re-specialised from the trace.
    """

    name: str
    inputs: tuple[Value, ...]
    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    bindings: Mapping[str, Parameter] = field(default_factory=dict, compare=False, repr=False)
    assumptions: tuple[Assumption, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Value name -> the node that computes it; inputs and parameters have none."""
        return {value.name: node for node in self.nodes for value in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Value name -> the nodes that read it, in order; graph outputs are not consumers."""
        readers: dict[str, list[Node]] = {value.name: [] for value in self.values()}
        for node in self.nodes:
            for name in dict.fromkeys(value.name for value in node.inputs):
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    def values(self) -> Iterator[Value]:
        """Inputs, parameters, then every result in order."""
        yield from self.inputs
        yield from self.params
        for node in self.nodes:
            yield from node.outputs

    def node(self, name: str) -> Node:
        """The node called ``name``; raises ConvirError naming the ones there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise ConvirError(f"graph {self.name} has no node {name!r}; it has {', '.join(n.name for n in self.nodes)}")

    def depends_on(self, names: Iterable[str]) -> set[str]:
        """Names of the values that depend on the named ones, which count as depending on themselves."""
        reached = set(names)
        for node in self.nodes:
            if any(value.name in reached for value in node.inputs):
                reached.update(value.name for value in node.outputs)
        return reached

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __str__(self) -> str:
        from convir.ir.text import format_graph

        return format_graph(self)

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """A networkx view: see :func:`convir.ir.view.to_networkx`."""
        from convir.ir.view import to_networkx

        return to_networkx(self)

    def to_dot(
        self,
        *,
        flops: Flops | None = None,
        depth: int | None = None,
        params: bool = True,
        direction: str = "TB",
        legend: bool = True,
        dpi: int | None = None,
    ) -> str:
        """Graphviz DOT text: see :func:`convir.ir.drawing.dot.to_dot`."""
        from convir.ir.drawing.dot import to_dot

        return to_dot(self, flops=flops, depth=depth, params=params, direction=direction, legend=legend, dpi=dpi)

    def render(
        self,
        path: str | os.PathLike[str],
        *,
        flops: Flops | None = None,
        depth: int | None = None,
        params: bool = True,
        direction: str = "TB",
        legend: bool = True,
        dpi: int | None = None,
    ) -> Path:
        """Draw the graph to an SVG, PNG or PDF file: see :func:`convir.ir.drawing.render.render`."""
        from convir.ir.drawing.render import render

        return render(self, path, flops=flops, depth=depth, params=params, direction=direction, legend=legend, dpi=dpi)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from convir.ir.drawing.render import notebook_display

        return notebook_display(self)
