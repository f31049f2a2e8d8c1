"""What an op costs: one rule for each op, in the module with the op's stem.

:func:`cost_of` answers for one op, :func:`work_of` for a node with the bytes it moves. Reports are made in
:mod:`convir.passes.estimate`.
"""

from convir.passes.cost import (
    activation,
    constant,
    conv,
    depthwise,
    dft,
    direct,
    elementwise,
    im2col,
    im2col_matmul,
    loss,
    matmul,
    maxout,
    pool,
    random,
    reduce,
    region,
    shape,
    shift,
    toeplitz,
    winograd,
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
    "depthwise",
    "dft",
    "direct",
    "elementwise",
    "im2col",
    "im2col_matmul",
    "loss",
    "matmul",
    "maxout",
    "pool",
    "random",
    "reduce",
    "region",
    "shape",
    "shift",
    "toeplitz",
    "traffic",
    "winograd",
    "work_of",
]
