"""Fusing what follows a convolution, matmul or max pooling into its epilogue."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convir.ir import Node, Op, Value
from convir.ir.graph import Graph
from convir.ir.ops import ACTIVATIONS, Add, Conv2d, MatMul, MaxPool2d, Reshape, broadcast_shapes
from convir.passes.rewrite import Rewriter, rewrite


@dataclass(frozen=True)
class FuseRelu:
    """``relu(conv2d(x, w, b))  =>  conv2d(x, w, b, activation=relu)``

    ``relu(matmul(a, b))    =>  matmul(a, b, activation=relu)``, max pooling likewise, sigmoid and tanh likewise;
    ``add(conv2d(x, w), b)  =>  conv2d(x, w, b)`` and ``add(matmul(a, b), c)  =>  matmul(a, b, c)``
    where the addend broadcasts as a bias. Only where nobody else reads the unfused result.
    """

    name: str = "fuse_relu"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _fuse, self.name)


def _fuse(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    if node.op.name in ACTIVATIONS:
        return _fuse_activation(rewriter, node, operands)
    if isinstance(node.op, Add):
        return _fuse_bias(rewriter, node, operands)
    return None


def _fuse_activation(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    producer = _sole_producer(rewriter, node, operands, 0)
    if producer is None:
        return None
    assert isinstance(producer.op, Conv2d | MatMul | MaxPool2d)
    return _absorb(rewriter, producer, replace(producer.op, activation=node.op.name), producer.inputs)


def _fuse_bias(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    for slot in (0, 1):
        producer = _sole_producer(rewriter, node, operands, slot)
        if producer is None or isinstance(producer.op, MaxPool2d) or len(producer.inputs) == 3:
            continue
        bias = _as_bias(rewriter, producer, operands[1 - slot])
        if bias is not None:
            return _absorb(rewriter, producer, producer.op, (*producer.inputs, bias))
    return None


def _sole_producer(rewriter: Rewriter, node: Node, operands: tuple[Value, ...], slot: int) -> Node | None:
    """The op with an epilogue, and no activation in it, whose result only ``node`` reads, in this slot."""
    producer = rewriter.producer(operands[slot])
    if producer is None or not isinstance(producer.op, Conv2d | MatMul | MaxPool2d):
        return None
    return producer if producer.op.activation is None and rewriter.used_once(node.inputs[slot]) else None


def _as_bias(rewriter: Rewriter, producer: Node, addend: Value) -> Value | None:
    """``addend`` in the shape of the op's bias operand, or None where it is not one."""
    result = producer.outputs[0].type
    if broadcast_shapes(addend.type.shape, result.shape) != result.shape:
        return None
    if isinstance(producer.op, MatMul):
        return addend
    channels = result.shape[1]
    per_channel = (*(1,) * (addend.type.rank - 3), channels, 1, 1)
    if addend.type.shape != per_channel:
        return None
    return rewriter.emit(Reshape((channels,)), addend)


def _absorb(rewriter: Rewriter, producer: Node, op: Op, operands: tuple[Value, ...]) -> Value:
    """Re-emit ``producer`` with more work, under its own name, in the place of its reader."""
    rewriter.discard(producer)
    with rewriter.at(producer):
        return rewriter.emit(op, *operands, name=producer.name)
