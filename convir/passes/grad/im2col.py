"""im2col and col2im are each other's adjoint."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import Col2im, Im2col
from convir.passes.attributes import common_attributes
from convir.passes.grad.registry import gradient


@gradient(Im2col)
def im2col(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = col2im(dy)``"""
    rows, columns = node.inputs[0].type.shape[1:3]
    op = Col2im(**common_attributes(node.op, Col2im), input_size=(rows, columns))
    return [builder.emit(op, cotangent)]


@gradient(Col2im)
def col2im(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = im2col(dy)``"""
    return [builder.emit(Im2col(**common_attributes(node.op, Im2col)), cotangent)]
