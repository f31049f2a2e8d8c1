"""Whether a graph can run in batch tiles, and what each of its values is then.

A tile is some of the batch's samples; running a graph tile by tile keeps its activations small. One rule for each op,
in the module with the op's stem, says what its results are from what its operands are: see
:mod:`convir.passes.batch.roles`. :func:`batch_roles` asks them for a whole graph.
"""

from convir.passes.batch import (
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
from convir.passes.batch.analysis import BatchRoles, batch_roles
from convir.passes.batch.registry import NOT_TILED, RULES, BatchRule, batch_rule, not_tiled, roles_of
from convir.passes.batch.roles import PartialMean, PartialSum, PerSample, Role, Whole

__all__ = [
    "NOT_TILED",
    "RULES",
    "BatchRoles",
    "BatchRule",
    "PartialMean",
    "PartialSum",
    "PerSample",
    "Role",
    "Whole",
    "activation",
    "batch_roles",
    "batch_rule",
    "constant",
    "conv",
    "depthwise",
    "dft",
    "direct",
    "elementwise",
    "im2col",
    "im2col_matmul",
    "loss",
    "matmul",
    "maxout",
    "not_tiled",
    "pool",
    "random",
    "reduce",
    "region",
    "roles_of",
    "shape",
    "shift",
    "toeplitz",
    "winograd",
]
