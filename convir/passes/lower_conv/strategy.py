"""What a lowering strategy is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convir.ir import Node, Value
from convir.ir.ops import CHWN, NCHW, Transpose, permutation
from convir.passes.rewrite import Rewriter

#: To the layout that lowered convolutions run in, and back to the model's.
TO_CHWN = Transpose(permutation(NCHW, CHWN))
TO_NCHW = Transpose(permutation(CHWN, NCHW))

#: ``lower(rewriter, node, operands)`` returns the replacement, or None to leave the node alone.
Lower = Callable[[Rewriter, Node, tuple[Value, ...]], Value | None]


@dataclass(frozen=True)
class Strategy:
    """One way of computing a convolution: a rewrite for it and one for each of its gradients.

    Attributes:
        name: what users type.
        summary: one line for ``--help`` and reports.
        conv2d: rewrites ``conv2d``.
        grad_input: rewrites ``conv2d_grad_input``.
        grad_weight: rewrites ``conv2d_grad_weight``.
    """

    name: str
    summary: str
    conv2d: Lower
    grad_input: Lower
    grad_weight: Lower
