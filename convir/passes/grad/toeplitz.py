"""Widening a weight and its adjoint are each other's gradient; so are rows from channels and channels from rows."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import DepthToRows, RowsToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.passes.attributes import common_attributes
from convir.passes.grad.registry import gradient


@gradient(ToeplitzWeight)
def toeplitz_weight(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dw = toeplitz_weight_grad(dy)``"""
    return [builder.emit(ToeplitzWeightGrad(**common_attributes(node.op, ToeplitzWeightGrad)), cotangent)]


@gradient(ToeplitzWeightGrad)
def toeplitz_weight_grad(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dy = toeplitz_weight(ddw)``"""
    return [builder.emit(ToeplitzWeight(**common_attributes(node.op, ToeplitzWeight)), cotangent)]


@gradient(DepthToRows)
def depth_to_rows(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = rows_to_depth(dy)``"""
    return [builder.emit(RowsToDepth(**common_attributes(node.op, RowsToDepth)), cotangent)]


@gradient(RowsToDepth)
def rows_to_depth(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = depth_to_rows(dy)``"""
    return [builder.emit(DepthToRows(**common_attributes(node.op, DepthToRows)), cotangent)]
