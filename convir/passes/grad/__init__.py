"""Gradient rules, one module a family of ops."""

from convir.passes.grad import (
    activation,
    conv,
    direct,
    elementwise,
    im2col,
    leaves,
    loss,
    matmul,
    maxout,
    pool,
    reduce,
    region,
    shape,
    toeplitz,
)
from convir.passes.grad.registry import GRADIENTS, NOT_DIFFERENTIABLE, GradientRule, gradient, not_differentiable

__all__ = [
    "GRADIENTS",
    "NOT_DIFFERENTIABLE",
    "GradientRule",
    "activation",
    "conv",
    "direct",
    "elementwise",
    "gradient",
    "im2col",
    "leaves",
    "loss",
    "matmul",
    "maxout",
    "not_differentiable",
    "pool",
    "reduce",
    "region",
    "shape",
    "toeplitz",
]
