"""What a lowering strategy is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from convir.ir import Node, TensorType, Value
from convir.ir.ops import Conv2d, Conv2dGradInput, ConvOp
from convir.passes.cost import Cost
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.parts import Parts
from convir.passes.rewrite import Rewriter

#: ``lower(rewriter, node, operands)`` returns the replacement, or None to leave the node alone.
Lower = Callable[[Rewriter, Node, tuple[Value, ...]], Value | None]

#: ``refuses(op, image, weight)``, with the NCHW type of the image and the OIHW type of the weight, returns why the
#: strategy cannot compute this convolution and its gradients, as what follows "it": ``needs a 1x1 kernel, and this
#: one is 3x3``; or None where it can.
Refuses = Callable[[ConvOp, TensorType, TensorType], str | None]


def takes_every(op: ConvOp, image: TensorType, weight: TensorType) -> str | None:
    """For strategies that refuse nothing."""
    return None


#: ``operations(layer)``: scalar operations of what the rewrites make of a layer alone, in closed form, each part by
#: itself, as if nothing were shared. Without what follows from a frozen weight alone; without the activation's
#: gradient, which is no strategy's. Taken from shapes, never from a graph: tests count a lowered graph and compare.
Operations = Callable[["ConvLayer"], Parts[Cost]]

#: ``shared(layer)``: of these, what is the same for both gradients, and runs once where both are computed.
Shared = Callable[["ConvLayer"], Cost]


def shares_nothing(layer: ConvLayer) -> Cost:
    """For strategies whose gradients have no arithmetic in common."""
    return Cost()


#: ``error_bound(layer, unit_roundoff)``: how far rounding takes an element from its exact value at most, as a multiple
#: of the scale of its part, see :mod:`convir.passes.lower_conv.bounds`. Derived, never fitted.
ErrorBound = Callable[["ConvLayer", float], Parts[float]]


@dataclass(frozen=True)
class Strategy:
    """One way of computing a convolution: a rewrite for it and one for each of its gradients.

    Attributes:
        name: what users type.
        summary: one line for ``--help`` and reports.
        conv2d: rewrites ``conv2d``.
        grad_input: rewrites ``conv2d_grad_input``.
        grad_weight: rewrites ``conv2d_grad_weight``.
        refuses: why it cannot compute a convolution. A convolution and its gradients are refused together; the
            rewrites are called for what is not refused only.
        shared: what of that both gradients share, in closed form.
        operations: what it executes, in closed form.
        error_bound: what rounding costs it at most, derived.
    """

    name: str
    summary: str
    conv2d: Lower
    grad_input: Lower
    grad_weight: Lower
    refuses: Refuses = takes_every
    shared: Shared = shares_nothing
    operations: Operations = field(kw_only=True)
    error_bound: ErrorBound = field(kw_only=True)

    def lower(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """Rewrites a convolution, or a gradient of one, with the rule for it; leaves other nodes alone."""
        if not isinstance(node.op, ConvOp):
            return None
        if isinstance(node.op, Conv2d):
            return self.conv2d(rewriter, node, operands)
        rule = self.grad_input if isinstance(node.op, Conv2dGradInput) else self.grad_weight
        return rule(rewriter, node, operands)
