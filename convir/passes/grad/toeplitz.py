"""Widening a weight and its adjoint are each other's gradient; so are blocks from channels and channels from blocks."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import DepthToSpace, SpaceToDepth, ToeplitzWeight, ToeplitzWeightGrad
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


@gradient(DepthToSpace)
def depth_to_space(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = space_to_depth(dy)``"""
    return [builder.emit(SpaceToDepth(**common_attributes(node.op, SpaceToDepth)), cotangent)]


@gradient(SpaceToDepth)
def space_to_depth(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``dx = depth_to_space(dy)``"""
    return [builder.emit(DepthToSpace(**common_attributes(node.op, DepthToSpace)), cotangent)]
