"""The NumPy kernels, one module a family of ops; ``naive`` holds the loops that define the meaning."""

from convir.runtime.kernels import (
    activation,
    direct,
    elementwise,
    im2col,
    loss,
    matmul,
    maxout,
    naive,
    pool,
    random,
    reduce,
    region,
    shape,
    toeplitz,
)
from convir.runtime.kernels.registry import KERNELS, Array, Kernel, Step, in_order, kernel, kernel_for

__all__ = [
    "KERNELS",
    "Array",
    "Kernel",
    "Step",
    "activation",
    "direct",
    "elementwise",
    "im2col",
    "in_order",
    "kernel",
    "kernel_for",
    "loss",
    "matmul",
    "maxout",
    "naive",
    "pool",
    "random",
    "reduce",
    "region",
    "shape",
    "toeplitz",
]
