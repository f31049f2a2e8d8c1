"""A convolution by itself: what its shape decides, and a graph of it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from convir.ir import Builder, Graph, Node, TensorType
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp
from convir.passes.cost import Cost
from convir.passes.cost.activation import epilogue
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW

#: What the nodes of :meth:`ConvLayer.alone` are called.
IMAGE, WEIGHT, BIAS, RESULT = "image", "weight", "bias", "result"


@dataclass(frozen=True)
class ConvLayer:
    """All that decides how long a strategy takes for a convolution, and what memory. Equal ones are the same problem.

    Attributes:
        op: stride, padding, dilation, groups, and the fused activation.
        image: NCHW type of the operand.
        weight: OIHW type of the weight.
        biased: whether a bias is added.
        gradients: which gradients are computed, too, of ``image`` and ``weight``.
        frozen: whether the weight is a constant, so that what follows from it alone was computed beforehand.
    """

    op: Conv2d
    image: TensorType
    weight: TensorType
    biased: bool = False
    gradients: tuple[str, ...] = ()
    frozen: bool = False

    @staticmethod
    def of(nodes: Sequence[Node], constants: frozenset[str] = frozenset()) -> ConvLayer:
        """The problem that these nodes are: a convolution, gradients of it, or both.

        Args:
            nodes: one convolution of the model, see :attr:`convir.ir.Node.origin`.
            constants: names of the values that are computed before anything runs, see :func:`constants`.
        """
        first = nodes[0]
        image, weight = operands(first)
        kinds = {type(node.op) for node in nodes}
        named = ((IMAGE, Conv2dGradInput), (WEIGHT, Conv2dGradWeight))
        return ConvLayer(
            _forward(first.op),
            image,
            weight,
            biased=isinstance(first.op, Conv2d) and len(first.inputs) > 2,
            gradients=tuple(name for name, kind in named if kind in kinds),
            frozen=isinstance(first.op, Conv2d) and first.inputs[1].name in constants,
        )

    @property
    def result(self) -> TensorType:
        """NCHW type of the result."""
        return self.op.infer(self.image, self.weight)[0]

    @property
    def positions(self) -> int:
        """Windows of all images: N * OH * OW, the columns of the patch matrix."""
        return self.result.size // self.weight.shape[0]

    @property
    def taps(self) -> int:
        """Weights of a filter: C/groups * KH * KW, the length of the dot product behind a result."""
        return self.weight.size // self.weight.shape[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the loop nest; each gradient has as many."""
        return self.result.size * self.taps

    @property
    def patches(self) -> int:
        """Elements of the patch matrix: C * KH * KW * N * OH * OW."""
        return self.image.shape[1] * prod(self.weight.shape[2:]) * self.positions

    @property
    def epilogue(self) -> Cost:
        """Bias and fused activation of every result."""
        return epilogue(self.op.activation, self.result.size, self.biased)

    def with_batch(self, batch: int) -> ConvLayer:
        """The same of so many images."""
        return replace(self, image=self.image.with_shape((batch, *self.image.shape[1:])))

    def alone(self, parameters: Mapping[str, Any] | None = None) -> Graph:
        """A graph that computes the convolution and nothing else: (C, H, W, N) to (O, OH, OW, N).

        In that layout it stands between other layers of a lowered network, so that no strategy pays for layout changes
        that it would not pay for there. The node is called ``result``.

        Args:
            parameters: what ``weight``, and ``bias`` if there is one, are bound to; None for arrays of zeros that take
                no memory, where nothing runs.
        """
        builder = Builder(RESULT)
        count, *size = self.image.shape
        image = builder.input(IMAGE, self.image.with_shape((*size, count)))
        operands = [builder.emit(TO_NCHW, image), builder.param(WEIGHT, self.weight)]
        if self.biased:
            operands.append(builder.param(BIAS, self.weight.with_shape(self.weight.shape[:1])))
        result = builder.emit(self.op, *operands, name=RESULT)
        bound = {value.name: _Zeros(value.type) for value in operands[1:]} if parameters is None else dict(parameters)
        return builder.finish([builder.emit(TO_CHWN, result)], bound)

    def __str__(self) -> str:
        op = self.op
        height, width = self.weight.shape[2:]
        said = [f"{self.weight.shape[0]} filters {height}x{width} of {self.image}"]
        said += [f"stride {op.stride}"] if op.stride != (1, 1) else []
        said += [f"dilation {op.dilation}"] if op.dilation != (1, 1) else []
        said += [f"padding {op.padding}"] if op.padding != (0, 0) else []
        said += [f"{op.groups} groups"] if op.groups > 1 else []
        return ", ".join(said)


def operands(node: Node) -> tuple[TensorType, TensorType]:
    """Types of image and weight of a convolution or of a gradient of it."""
    first, second, result = node.inputs[0].type, node.inputs[1].type, node.outputs[0].type
    if isinstance(node.op, Conv2d):
        return first, second
    return (result, second) if isinstance(node.op, Conv2dGradInput) else (second, result)


def constants(graph: Graph) -> frozenset[str]:
    """Names of the values that depend on no input and no parameter: they are computed before anything runs."""
    live = graph.depends_on(value.name for value in (*graph.inputs, *graph.params))
    return frozenset(value.name for node in graph.nodes for value in node.outputs if value.name not in live)


def _forward(op: Any) -> Conv2d:
    """The convolution that ``op`` is, or is a gradient of."""
    assert isinstance(op, ConvOp)
    if isinstance(op, Conv2d):
        return op
    return Conv2d(op.stride, op.padding, op.dilation, op.groups)


class _Zeros:
    """Stands for a parameter whose numbers nobody reads."""

    requires_grad = True

    def __init__(self, type: TensorType) -> None:
        self.data = np.broadcast_to(np.zeros((), type.dtype), type.shape)
