"""Loop nests by family of ops; importing this fills the table."""

from convir.loops.rules import activation, direct, elementwise, loss, matmul, pool, reduce, region, shape

__all__ = ["activation", "direct", "elementwise", "loss", "matmul", "pool", "reduce", "region", "shape"]
