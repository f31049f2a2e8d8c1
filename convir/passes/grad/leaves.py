"""Ops through which no gradient flows."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import Constant, DropoutMask
from convir.passes.grad.registry import gradient


@gradient(Constant, DropoutMask)
def leaf(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """A constant and a mask do not depend on their operands' elements."""
    return [None for _ in node.inputs]
