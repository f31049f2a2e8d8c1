"""What an op costs: one rule for each op, in the module with the op's stem.

:func:`cost_of` answers for one op, :func:`work_of` for a node with the bytes it moves. Reports are made in
:mod:`convir.passes.estimate`.
"""

from convir.passes.cost import (
    activation,
    constant,
    conv,
    direct,
    elementwise,
    im2col,
    loss,
    matmul,
    maxout,
    pool,
    random,
    reduce,
    region,
    shape,
    toeplitz,
)
from convir.passes.cost.registry import RULES, Cost, CostRule, cost_of, cost_rule
from convir.passes.cost.work import NO_WORK, Work, traffic, work_of

__all__ = [
    "NO_WORK",
    "RULES",
    "Cost",
    "CostRule",
    "Work",
    "activation",
    "constant",
    "conv",
    "cost_of",
    "cost_rule",
    "direct",
    "elementwise",
    "im2col",
    "loss",
    "matmul",
    "maxout",
    "pool",
    "random",
    "reduce",
    "region",
    "shape",
    "toeplitz",
    "traffic",
    "work_of",
]
