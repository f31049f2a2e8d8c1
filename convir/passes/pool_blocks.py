"""Pooling blocks where they lie, before they are put in their places."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir import Graph, Node, Value
from convir.ir.ops import (
    CHWN,
    DepthToSpace,
    Maxout,
    MaxoutGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
    SpaceToDepth,
)
from convir.passes.rewrite import Rewriter, rewrite


@dataclass(frozen=True)
class PoolBlocks:
    """``max_pool2d(depth_to_space(x))  =>  maxout(x)`` where the pooling's windows are the blocks

    ``max_pool2d_grad(dy, depth_to_space(x))  =>  depth_to_space(maxout_grad(dy, x))``;
    ``space_to_depth(depth_to_space(x))  =>  x``. Of a convolution that computes blocks of outputs, a pooling's
    window is so many planes, each one run of memory, and nothing is put in order.
    """

    name: str = "pool_blocks"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule, self.name)


def _rule(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    op = node.op
    if isinstance(op, SpaceToDepth):
        return _blocks(rewriter, operands[0], op.block)
    if isinstance(op, MaxPool2dTaps) and _is_tiling(op):
        source = _blocks(rewriter, operands[0], op.kernel_size)
        maxout = Maxout(prod(op.kernel_size), op.activation)
        return None if source is None else rewriter.emit(maxout, source, *operands[1:], name=node.name)
    if isinstance(op, MaxPool2dGradTaps) and _is_tiling(op):
        grad, image, *maximum = operands
        source = _blocks(rewriter, image, op.kernel_size)
        if source is None:
            return None
        found = rewriter.emit(MaxoutGrad(prod(op.kernel_size)), grad, source, *maximum)
        return rewriter.emit(DepthToSpace(op.kernel_size), found, name=node.name)
    return None


def _blocks(rewriter: Rewriter, image: Value, block: tuple[int, int]) -> Value | None:
    """What ``image`` was before blocks of this size were put in their places."""
    producer = rewriter.producer(image)
    if producer is None or producer.op != DepthToSpace(block):
        return None
    return producer.inputs[0]


def _is_tiling(op: PoolOp) -> bool:
    """Whether the windows lie side by side over the whole plane, in CHWN."""
    plain = op.padding == (0, 0) and op.dilation == (1, 1) and op.stride == op.kernel_size
    return plain and op.layout == CHWN
