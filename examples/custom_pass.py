"""A pass of one's own: it turns a division by a constant into a multiplication, which is faster.

python examples/custom_pass.py
"""

from dataclasses import dataclass

import numpy as np

import convir
from convir import nn
from convir.ir import Graph, Node, Value
from convir.ir.ops import Constant, Div, Literal, Mul
from convir.passes.rewrite import Rewriter, rewrite


@dataclass(frozen=True)
class MultiplyByReciprocal:
    """``x / c  =>  x * (1 / c)`` for a constant ``c``"""

    name: str = "multiply_by_reciprocal"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, self._rule, self.name)

    @staticmethod
    def _rule(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, Div):
            return None
        x, divisor = operands
        producer = rewriter.producer(divisor)
        if producer is None or not isinstance(producer.op, Constant):
            return None
        reciprocal = rewriter.emit(Constant(Literal(1 / producer.op.value.array)))
        return rewriter.emit(Mul(), x, reciprocal, name=node.name)


class Standardized(nn.Module):
    """A convolution of images scaled from 0 ... 255."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return nn.functional.relu(self.conv((x - 127.5) / 58.0))


def main() -> None:
    convir.manual_seed(0)
    model = Standardized()
    shape = (2, 3, 16, 16)

    passes = convir.pipeline()
    passes.insert(0, MultiplyByReciprocal())
    compiled = convir.compile(model, shape, passes=passes)
    for stage in compiled.stages[:2]:
        print(stage, end="\n\n")

    x = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    with_pass, without = compiled(x), convir.compile(model, shape)(x)
    error = np.abs(with_pass - without).max() / np.abs(without).max()
    print(f"Largest relative difference from the model without the pass: {error:.1e}")
    grads = compiled.backward(np.ones_like(with_pass))
    print(f"It is differentiated like any other graph: {', '.join(grads)}")


if __name__ == "__main__":
    main()
