"""Grouping ops with what follows them into regions, which compiled kernel sets run as one loop nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convir.ir import Builder, Graph, Node, Value
from convir.ir.ops import (
    ActivationGradOp,
    AvgPool2dTaps,
    BinaryOp,
    Conv2dDirect,
    MatMul,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    Region,
    UnaryOp,
    WinogradInput,
    WinogradOutput,
)

#: What follows in a region: element by element, or a pooling.
EPILOGUES = (UnaryOp, BinaryOp, ActivationGradOp, MaxPool2dTaps, AvgPool2dTaps, MaxPool2dGradTaps, WinogradOutput)

#: What a region begins with: a convolution or a matrix product, or something that is computed element by element.
ANCHORS = (Conv2dDirect, WinogradInput, MatMul, UnaryOp, BinaryOp, ActivationGradOp)


#: Nodes of a region: a function of many more takes long to compile and gains nothing.
MOST_NODES = 12


@dataclass(frozen=True)
class FuseRegions:
    """``max_pool2d(conv2d(x, w), b)  =>  region(x, w, b)`` with these two as its body

    A convolution, matrix product or element-by-element op is grouped with the element-by-element ops and
    poolings that follow it, as long as nobody else reads what is between them. Views between them come along.
    """

    name: str = "fuse_regions"

    def __call__(self, graph: Graph) -> Graph:
        return _Fusion(graph, self.name).run()


class _Fusion:
    """The groups found so far: the last value of a group -> its nodes, in order."""

    def __init__(self, graph: Graph, made_by: str) -> None:
        self.graph, self.made_by = graph, made_by
        self.results = {value.name for value in graph.outputs}
        self.groups: dict[str, list[Node]] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self.groups[node.name] = [*self._before(node), node]
        merged = {node.name for group in self.groups.values() for node in group[:-1] if self._read_by_its_group(node)}
        nodes: list[Node] = []
        for name, group in self.groups.items():
            if name not in merged:
                fused, views = _without_last_views(group)
                nodes += [self._region(fused), *views] if _worth(fused) else group
        return self.graph.replace(nodes=tuple(nodes))

    def _before(self, node: Node) -> list[Node]:
        """The group that ``node`` joins, which is then no group of its own any more."""
        if len(node.outputs) != 1 or not (node.op.view or isinstance(node.op, EPILOGUES) or self._multiplies(node)):
            return []
        for value in node.inputs:
            group = self.groups.get(value.name)
            if group is None or not isinstance(group[0].op, ANCHORS) or len(group) >= MOST_NODES:
                continue
            if self._read_here_only(value) or all(_again(member) for member in group):
                return group
        return []

    def _multiplies(self, node: Node) -> bool:
        """Whether this is the product between Winograd's transforms."""
        if not isinstance(node.op, MatMul) or node.op.transpose_b:
            return False
        group = self.groups.get(node.inputs[1].name, [])
        return any(isinstance(member.op, WinogradInput) for member in group) and all(map(_again, group))

    def _read_by_its_group(self, node: Node) -> bool:
        """Whether nobody but a group needs this member of it, as opposed to those that a region computes again."""
        return not _again(node) or all(self._read_here_only(value) for value in node.outputs)

    def _read_here_only(self, value: Value) -> bool:
        return value.name not in self.results and len(self.graph.consumers[value.name]) == 1

    def _region(self, group: Sequence[Node]) -> Node:
        """The node that stands for a group, in the place of its last."""
        made = {value.name for node in group for value in node.outputs}
        operands = list(dict.fromkeys(v for node in group for v in node.inputs if v.name not in made))
        body = _body(group, operands)
        anchor = group[0]
        return replace(
            group[-1],
            op=Region(body),
            inputs=tuple(operands),
            scope=anchor.scope,
            source=anchor.source,
            origin=anchor.origin,
            made_by=self.made_by,
        )


def _again(node: Node) -> bool:
    """Whether a region computes this again where others read it too: less work than keeping the result."""
    return node.op.view or isinstance(node.op, WinogradInput)


def _without_last_views(group: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """A group that ends in something computed, and the views that followed."""
    end = max((place for place, node in enumerate(group, 1) if not node.op.view), default=0)
    return list(group[:end]), list(group[end:])


def _worth(group: Sequence[Node]) -> bool:
    """Whether a group computes more than one thing."""
    return sum(not node.op.view for node in group) > 1


def _body(group: Sequence[Node], operands: Sequence[Value]) -> Graph:
    """The group as a graph of its own, with names that say what things are: equal regions have equal bodies."""
    builder = Builder("region")
    roles = {
        value.name: role.rstrip("?")
        for node in reversed(group)
        for value, role in zip(node.inputs, node.op.operand_names, strict=False)
    }
    known = {value.name: builder.input(roles[value.name], value.type) for value in operands}
    for node in group:
        known[node.name] = builder.emit(node.op, *(known[value.name] for value in node.inputs))
    return builder.finish([known[group[-1].name]], {})
