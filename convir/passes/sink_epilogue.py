"""Moving bias and activation from before a max pooling to after it, where there are fewer elements."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convir.ir import Graph, Node, Value
from convir.ir.ops import ActivationOp, Conv2d, MaxPool2d, spatial_size
from convir.passes.rewrite import Rewriter, rewrite


@dataclass(frozen=True)
class SinkEpilogue:
    """``max_pool2d(conv2d(x, w, b, activation=relu))  =>  max_pool2d(conv2d(x, w), b, activation=relu)``

    ``max_pool2d(relu(x))  =>  max_pool2d(x, activation=relu)``; sigmoid and tanh likewise. Only where nobody
    else reads what is pooled and pooling makes it smaller: a 2x2 pooling leaves a quarter of the work.

    Adding a bias and the activations are monotone, and so is rounding: they commute with the maximum, exactly for
    finite biases and relu, up to the rounding of ``exp`` and ``tanh`` for the others. A window without a pixel has no
    maximum to commute with; a pooling that has one stays as it is.

    Attributes:
        for_training: leave the bias behind where the result then still holds the maxima. The gradient compares with
            them, and computing them again costs more than adding the bias to fewer elements saves.
    """

    for_training: bool = False
    name: str = "sink_epilogue"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, self._sink, self.name)

    def _sink(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, MaxPool2d) or not rewriter.used_once(node.inputs[0]):
            return None
        producer = rewriter.producer(operands[0])
        if producer is None or not _gains(node.op, node):
            return None
        if isinstance(producer.op, ActivationOp):
            rewriter.discard(producer)
            return rewriter.emit(replace(node.op, activation=producer.op.name), *producer.inputs, name=node.name)
        if isinstance(producer.op, Conv2d):
            return self._from_convolution(rewriter, node, producer.op, producer)
        return None

    def _from_convolution(self, rewriter: Rewriter, node: Node, conv: Conv2d, producer: Node) -> Value | None:
        assert isinstance(node.op, MaxPool2d)
        pooling = replace(node.op, activation=conv.activation)
        image, weight, *bias = producer.inputs
        if self.for_training and pooling.activation_keeps_maxima:
            left, moved = bias, []
        else:
            left, moved = [], bias
        if conv.activation is None and not moved:
            return None
        rewriter.discard(producer)
        with rewriter.at(producer):
            bare = rewriter.emit(replace(conv, activation=None), image, weight, *left, name=producer.name)
        return rewriter.emit(pooling, bare, *moved, name=node.name)


def _gains(op: MaxPool2d, node: Node) -> bool:
    """Whether there are fewer windows than pixels, a pixel in each, and no epilogue yet."""
    image, result = node.inputs[0].type, node.outputs[0].type
    plain = op.activation is None and len(node.inputs) == 1
    return plain and result.size < image.size and not op.reads_padding_only(spatial_size(image, op.layout))
