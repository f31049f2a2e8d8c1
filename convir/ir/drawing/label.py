"""The words of the picture: what a box says about its op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from convir.ir.drawing.picture import Box
from convir.ir.graph import Node, Value
from convir.ir.ops.constant import Literal
from convir.ir.text import format_attribute, format_node

#: Attributes that say nothing while they have these values, and those that a shape on an edge repeats.
_USUAL: dict[str, Any] = {
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "layout": "NCHW",
    "start_dim": 1,
    "end_dim": -1,
}
_ON_EDGES = {"shape", "input_size", "activation"}
_LONGEST = 46


def is_fused(node: Node) -> bool:
    """Whether more is folded into the node than the user wrote there: an activation, or by a pass a bias.

    A linear layer is traced as a product with a bias, and nothing has been fused in it yet.
    """
    return getattr(node.op, "activation", None) is not None or bool(node.made_by and _epilogue(node))


def op_line(node: Node) -> str:
    """``conv2d 5x5 padding 2 + relu``: the op, what is unusual about its attributes, its epilogue."""
    words = [node.op.name, *_kernel(node)]
    for name, value in sorted(node.op.attributes().items(), key=lambda item: item[0] != "kernel_size"):
        words += _attribute(name, value)
    return " + ".join([shorten(" ".join(words)), *_epilogue(node)])


def group_line(nodes: Iterable[Node]) -> str:
    """``12 ops: 4 conv2d, 4 relu, 2 add, …``: what a collapsed scope holds."""
    counts = Counter(node.op.name for node in nodes)
    common = [f"{count} {name}" if count > 1 else name for name, count in counts.most_common(3)]
    rest = ["…"] if len(counts) > 3 else []
    return f"{counts.total()} ops: {', '.join(common + rest)}"


def format_flops(count: float) -> str:
    """``1.2 MFLOP``.

    >>> format_flops(1_234_567), format_flops(960), format_flops(0)
    ('1.2 MFLOP', '960 FLOP', '0 FLOP')
    """
    for prefix in ("", "k", "M", "G", "T"):
        # 999.95 would be printed as 1000.0
        if abs(count) < (999.5 if not prefix else 999.95):
            return f"{count:.0f} FLOP" if not prefix else f"{count:.1f} {prefix}FLOP"
        count /= 1000
    return f"{count:.1f} PFLOP"


def box_flops(box: Box, flops: Mapping[str, float]) -> str:
    """The FLOPs of all ops in the box, or nothing if none of them is listed."""
    known = [flops[node.name] for node in box.nodes if node.name in flops]
    return format_flops(sum(known)) if known else ""


def tooltip(box: Box) -> str:
    """What a box says when the pointer rests on it: the text form, and where it comes from."""
    lines = [format_node(node) for node in box.nodes[:20]]
    if len(box.nodes) > 20:
        lines.append(f"… and {len(box.nodes) - 20} more")
    if not box.nodes:
        lines += [f"{box.role} {value}" for value in box.values]
    for node in box.nodes if box.role == "node" else ():
        lines += [f"scope {node.scope}"] if node.scope else []
        lines += [f"at {node.source}"] if node.source else []
        lines += [f"made by {node.made_by}"] if node.made_by else []
    return "\n".join(lines)


def parameter_count(values: Iterable[Value]) -> str:
    """``61,706 parameters``"""
    total = sum(value.type.size for value in values)
    return f"{total:,} parameter{'' if total == 1 else 's'}"


def shorten(text: str, longest: int = _LONGEST) -> str:
    """``text``, cut in the middle if it is long: both ends of a dotted name tell something."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def _epilogue(node: Node) -> list[str]:
    """What is folded into the op, in the order it is applied."""
    activation = getattr(node.op, "activation", None)
    names = node.op.operand_names
    bias = node.op.kind == "matmul" and len(names) == len(node.inputs) and names[-1] == "bias?"
    return (["bias"] if bias else []) + ([activation] if activation else [])


def _kernel(node: Node) -> list[str]:
    """The kernel of a convolution is a property of its weight, not an attribute."""
    for name, value in zip(node.op.operand_names, node.inputs, strict=False):
        if name == "weight" and value.type.rank == 4:
            return [_by(value.type.shape[2:])]
    return []


def _attribute(name: str, value: Any) -> list[str]:
    if name in _ON_EDGES or value is None or value is False or _USUAL.get(name) == value:
        return []
    if value is True:
        return [name.replace("_", " ")]
    if name == "kernel_size":
        return [_by(value)]
    if isinstance(value, Literal):
        return [repr(value)]
    return [name.replace("_", " "), _short(value)]


def _short(value: Any) -> str:
    """``2`` for ``(2,)``, ``(2, 2)`` and ``((2, 2), (2, 2))``; anything else as the text form has it."""
    while isinstance(value, tuple) and len(value) in (1, 2) and value[0] == value[-1]:
        value = value[0]
    return format_attribute(value)


def _by(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))
