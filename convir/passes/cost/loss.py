"""Costs of losses, as they are computed without overflow: the sample's maximum is subtracted first."""

from __future__ import annotations

from convir.ir.ops import CrossEntropy, CrossEntropyGrad
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(CrossEntropy)
def cross_entropy(op: CrossEntropy, operands: Types, results: Types) -> Cost:
    """Pointwise, a sample of ``K`` logits: ``4K + 2``, which is

    ``K - 1`` comparisons for the maximum, ``K`` subtractions, ``K`` exponentials, ``K - 1`` additions, a logarithm, the
    maximum added back, the target's logit subtracted, and one operation of the mean (additions, a division).
    """
    samples, classes = op.sizes(operands[0])
    return Cost(pointwise=samples * (4 * classes + 2))


@cost_rule(CrossEntropyGrad)
def cross_entropy_grad(op: CrossEntropyGrad, operands: Types, results: Types) -> Cost:
    """Pointwise, a sample of ``K`` logits: ``6K - 1``, and one division ``grad / N`` in all.

    A sample takes its softmax, ``5K - 2`` (maximum, subtract, exp, sum, divide), subtracts 1 at the target and
    multiplies each element by ``grad / N``.
    """
    samples, classes = op.sizes(operands[1])
    return Cost(pointwise=samples * (6 * classes - 1) + 1)
