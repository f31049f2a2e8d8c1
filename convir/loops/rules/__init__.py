"""Loop nests by family of ops; importing this fills the table."""

from convir.loops.rules import (
    activation,
    depthwise,
    direct,
    elementwise,
    im2col_matmul,
    loss,
    matmul,
    pool,
    reduce,
    region,
    shape,
    shift,
    winograd,
)

__all__ = [
    "activation",
    "depthwise",
    "direct",
    "elementwise",
    "im2col_matmul",
    "loss",
    "matmul",
    "pool",
    "reduce",
    "region",
    "shape",
    "shift",
    "winograd",
]
