"""What a picture of a graph shows: boxes, arrows and which boxes a scope encloses. No syntax, no colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from convir.ir.graph import Graph, Node, Value


@dataclass(frozen=True, eq=False)
class Box:
    """One thing drawn; each is equal to itself only, so that boxes are cheap keys.

    Attributes:
        id: unique in the picture; the value's or node's own name wherever that is possible.
        role: ``input``, ``param``, ``node``, ``group`` (a collapsed scope) or ``output``.
        title: the name to show.
        scope: the module path it is drawn inside.
        nodes: the op or, of a group, all its ops; empty for values.
        values: what it stands for: an input, a parameter, an output, or the parameters inside a group.
        gradient: whether it belongs to the backward part.
    """

    id: str
    role: str
    title: str
    scope: str = ""
    nodes: tuple[Node, ...] = ()
    values: tuple[Value, ...] = ()
    gradient: bool = False


@dataclass(frozen=True)
class Arrow:
    """A value that one box makes and another reads, once however often it is an operand there."""

    tail: Box
    head: Box
    value: Value
    operands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Boxes and arrows of a graph.

    Attributes:
        joint: there are boxes of the forward and of the backward part.
        spacers: (upper, lower) pairs of boxes to be drawn one below the other though no value flows.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    joint: bool
    spacers: tuple[tuple[Box, Box], ...] = ()


@dataclass
class Cluster:
    """A scope with the boxes directly in it and the scopes below it."""

    scope: str = ""
    boxes: list[Box] = field(default_factory=list)
    inner: dict[str, Cluster] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.boxes) + sum(map(len, self.inner.values()))


def picture(graph: Graph, depth: int | None = None, params: bool = True) -> Picture:
    """What to draw of ``graph``; scopes deeper than ``depth`` become one box, parameters can be left out."""
    backward = gradient_values(graph)
    taken = {value.name for value in graph.values()}
    ops = list(_op_boxes(graph, depth, backward, taken))
    owner = {value.name: box for box in ops for node in box.nodes for value in node.outputs}
    inputs = [
        Box(value.name, "input", value.name, values=(value,), gradient=value.name in backward) for value in graph.inputs
    ]
    weights = list(_param_boxes(graph, depth, owner)) if params else []
    owner.update((box.id, box) for box in (*inputs, *weights))
    outputs = [_output_box(index, value, owner, taken) for index, value in enumerate(graph.outputs)]
    arrows = [*_arrows(ops, owner), *(_output_arrows(outputs, owner))]
    flows = {box.gradient for box in ops}
    spacers = tuple(_spacers((*weights, *outputs), ops, arrows))
    return Picture((*inputs, *weights, *ops, *outputs), tuple(arrows), len(flows) == 2, spacers)


def gradient_values(graph: Graph) -> frozenset[str]:
    """Names of the values of the backward part.

    That is what ``differentiate`` made or what is called ``.grad``, and all that is computed from it:
    a later pass that rewrites a backward node leaves its own name on the result. A module that the
    user called ``grad`` names forward nodes; they have it in their scope too.
    """
    found = {value.name for value in graph.inputs if value.name.endswith(".grad")}
    for node in graph.nodes:
        named = node.name.endswith(".grad") and not node.scope.endswith(".grad")
        made = node.made_by == "differentiate" or named
        if made or any(value.name in found for value in node.inputs):
            found.update(value.name for value in node.outputs)
    return frozenset(found)


def clusters(boxes: tuple[Box, ...]) -> Cluster:
    """The boxes in a tree of scopes. A scope around a single box would say nothing, so it has no cluster."""
    root = Cluster()
    for box in boxes:
        place = root
        parts = _parts(box.scope)
        for level, part in enumerate(parts, 1):
            place = place.inner.setdefault(part, Cluster(".".join(parts[:level])))
        place.boxes.append(box)
    return _pruned(root)


def _pruned(cluster: Cluster) -> Cluster:
    kept = Cluster(cluster.scope, list(cluster.boxes))
    for part, inner in cluster.inner.items():
        pruned = _pruned(inner)
        if len(pruned) > 1:
            kept.inner[part] = pruned
        else:
            kept.boxes.extend(pruned.boxes)
    return kept


def _op_boxes(graph: Graph, depth: int | None, backward: frozenset[str], taken: set[str]) -> Iterator[Box]:
    """A box for every op, or for every run of ops in one collapsed scope.

    Only neighbours in the topological order share a box. A stretch of a topological order never
    depends on itself through the outside, so collapsing makes no cycle, and a module that is called
    twice is two boxes.
    """

    def key(node: Node) -> tuple[str, str, bool]:
        parts = _parts(node.scope)
        if depth is None or len(parts) <= depth:
            return node.name, "", False
        return "", ".".join(parts[: depth + 1]), node.name in backward

    params = {value.name: value for value in graph.params}
    for (_, scope, _), run in groupby(graph.nodes, key):
        nodes = tuple(run)
        gradient = nodes[0].name in backward
        if len(nodes) == 1:
            yield Box(nodes[0].name, "node", nodes[0].name, _clipped(nodes[0].scope, depth), nodes, gradient=gradient)
            continue
        outside = _clipped(scope, depth)
        reads = dict.fromkeys(value.name for node in nodes for value in node.inputs)
        inside = tuple(params[name] for name in reads if name in params)
        yield Box(_reserve(scope, taken), "group", scope, outside, nodes, inside, gradient)


def _output_box(index: int, value: Value, owner: dict[str, Box], taken: set[str]) -> Box:
    """The end of an output. The many of a backward part stay in the scopes they are gradients of."""
    maker = owner.get(value.name)
    gradient = maker is not None and maker.gradient
    scope = maker.scope if maker and gradient else ""
    return Box(_reserve(f"output:{index}", taken), "output", value.name, scope, values=(value,), gradient=gradient)


def _param_boxes(graph: Graph, depth: int | None, owner: dict[str, Box]) -> Iterator[Box]:
    """Parameters that somebody outside the collapsed scopes reads, or nobody at all."""
    scopes = {prefix for node in graph.nodes for prefix in _prefixes(node.scope)}
    for value in graph.params:
        readers = graph.consumers[value.name]
        if readers and all(owner[node.name].role == "group" for node in readers):
            continue
        home = value.name.rpartition(".")[0]
        if home not in scopes:
            home = _common([node.scope for node in readers])
        yield Box(value.name, "param", value.name, _clipped(home, depth), values=(value,))


def _arrows(ops: list[Box], owner: dict[str, Box]) -> Iterator[Arrow]:
    """One arrow for each value that crosses from a box to another; groups keep their parameters to themselves."""
    for head in ops:
        reads: dict[Value, list[str]] = {}
        for node in head.nodes:
            for index, value in enumerate(node.inputs):
                reads.setdefault(value, []).append(_operand_name(node, index))
        for value, operands in reads.items():
            tail = owner.get(value.name)
            if tail is None or tail is head or (tail.role == "param" and head.role == "group"):
                continue
            yield Arrow(tail, head, value, tuple(operands))


def _output_arrows(outputs: list[Box], owner: dict[str, Box]) -> Iterator[Arrow]:
    for box in outputs:
        value = box.values[0]
        if value.name in owner:
            yield Arrow(owner[value.name], box, value)


def _spacers(sides: tuple[Box, ...], ops: list[Box], arrows: list[Arrow]) -> Iterator[tuple[Box, Box]]:
    """What feeds a scope from outside stands above the scope's parameters and gradients, too.

    Otherwise those would be drawn level with it, and the scope, which encloses them, beside it: a
    plain chain of layers would become a staircase.
    """
    order = {box.id: index for index, box in enumerate(ops)}
    entries: dict[str, dict[str, Box]] = {}
    first_read: dict[str, int] = {}
    for arrow in arrows:
        first_read.setdefault(arrow.tail.id, order.get(arrow.head.id, len(ops)))
        # The backward part is drawn against its flow, so there the reader is above.
        upper, lower = (arrow.head, arrow.tail) if arrow.tail.gradient else (arrow.tail, arrow.head)
        if upper.role != "param" and upper.scope != lower.scope and upper.gradient == lower.gradient:
            entries.setdefault(lower.scope, {})[upper.id] = upper
    for side in sides:
        for entry in entries.get(side.scope, {}).values() if side.scope else ():
            # A parameter that is read before the entry is made (its module runs twice) cannot stand below.
            if entry.gradient or side.role == "output" or order.get(entry.id, -1) < first_read.get(side.id, 0):
                yield entry, side


def _operand_name(node: Node, index: int) -> str:
    names = node.op.operand_names
    return names[index].rstrip("?") if index < len(names) else str(index)


def _reserve(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _parts(scope: str) -> list[str]:
    return scope.split(".") if scope else []


def _prefixes(scope: str) -> list[str]:
    parts = _parts(scope)
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _clipped(scope: str, depth: int | None) -> str:
    return ".".join(_parts(scope)[:depth])


def _common(scopes: list[str]) -> str:
    """The innermost scope around all of these."""
    shared: list[str] = []
    for level in zip(*map(_parts, scopes), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
