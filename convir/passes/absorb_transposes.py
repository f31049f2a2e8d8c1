"""Absorbing the transposes that are left at matrix products: BLAS takes a transposed operand as a flag."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convir.ir import Graph, Node, Value
from convir.ir.ops import MatMul, Reshape, Transpose
from convir.passes.rewrite import Rewriter, rewrite
from convir.passes.transposition import SWAP, reshape_blocks


@dataclass(frozen=True)
class AbsorbTransposes:
    """``matmul(transpose(a), b)  =>  matmul(a, b, transpose_a=True)``, likewise for b

    ``transpose(matmul(a, b))  =>  matmul(b, a)`` with both flags turned round, also where a reshape
    between them splits axes that stay side by side.
    """

    name: str = "absorb_transposes"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _absorb, self.name)


def _absorb(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    if isinstance(node.op, Transpose):
        return _transpose_product(rewriter, node, node.op, operands[0])
    if isinstance(node.op, MatMul):
        return _into_flags(rewriter, node, node.op, operands)
    return None


def _transpose_product(rewriter: Rewriter, node: Node, op: Transpose, operand: Value) -> Value | None:
    """``transpose(matmul(a, b)) => matmul(b, a)``, also with a reshape between that splits axes."""
    old = node.inputs[0]
    producer = rewriter.producer(operand)
    if producer is None or not rewriter.used_once(old):
        return None
    if isinstance(producer.op, MatMul):
        return _turned(rewriter, producer) if op.permutation == SWAP else None
    product = rewriter.producer(producer.inputs[0]) if isinstance(producer.op, Reshape) else None
    before = rewriter.graph.producers.get(old.name)
    if product is None or before is None or not rewriter.used_once(before.inputs[0]):
        return None
    if not _can_turn(product):
        return None
    blocks = reshape_blocks(product.outputs[0].type.shape, operand.type.shape)
    if [rows_or_columns for rows_or_columns, _ in blocks] != [(0,), (1,)]:
        return None
    (_, rows), (_, columns) = blocks
    if op.permutation != columns + rows:
        return None
    rewriter.discard(producer)
    turned = _turned(rewriter, product)
    return turned and rewriter.emit(Reshape(node.outputs[0].type.shape), turned, name=producer.name)


def _can_turn(product: Node) -> bool:
    return isinstance(product.op, MatMul) and len(product.inputs) == 2 and product.outputs[0].type.rank == 2


def _turned(rewriter: Rewriter, product: Node) -> Value | None:
    """The transpose of a matrix product that nobody else reads, in its place and under its name."""
    op = product.op
    if not isinstance(op, MatMul) or not _can_turn(product):
        return None
    a, b = product.inputs
    rewriter.discard(product)
    turned = replace(op, transpose_a=not op.transpose_b, transpose_b=not op.transpose_a)
    with rewriter.at(product):  # its FLOPs are still that node's
        return rewriter.emit(turned, b, a, name=product.name)


def _into_flags(rewriter: Rewriter, node: Node, op: MatMul, operands: tuple[Value, ...]) -> Value | None:
    """``matmul(transpose(a), b) => matmul(a, b, transpose_a=True)``, likewise for b."""
    sources = [_before_swap(rewriter, value) for value in operands[:2]]
    if sources == [None, None]:
        return None
    a, b = (source or value for source, value in zip(sources, operands, strict=False))
    flags = [op.transpose_a != (sources[0] is not None), op.transpose_b != (sources[1] is not None)]
    turned = replace(op, transpose_a=flags[0], transpose_b=flags[1])
    return rewriter.emit(turned, a, b, *operands[2:], name=node.name)


def _before_swap(rewriter: Rewriter, value: Value) -> Value | None:
    """What ``value`` is a transpose of, if only its last two axes are swapped."""
    producer = rewriter.producer(value)
    if producer is None or not isinstance(producer.op, Transpose):
        return None
    rank = value.type.rank
    swap = (*range(rank - 2), rank - 1, rank - 2)
    return producer.inputs[0] if producer.op.permutation == swap else None
