"""What runs the nodes of a program: the kernel sets that an executable can be built with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from convir.ir import ConvirError, Node, TensorType
from convir.ir.ops import Constant
from convir.runtime.kernels import Array, Kernel, Step, kernel_for


@dataclass(frozen=True)
class BoundStep:
    """A node and the callable that runs it on the arrays it always uses.

    ``by_numpy``: whether it calls NumPy, which has settings to watch: BLAS threads and floating-point warnings.
    """

    node: Node
    run: Step
    by_numpy: bool = field(default=True, kw_only=True)


class KernelSet(Protocol):
    """How nodes run: what they need, how they are bound, and how bound steps become calls."""

    @property
    def name(self) -> str:
        """What users type for it."""

    @property
    def conv(self) -> str:
        """The lowering strategy of convolution that suits it, by name."""

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """Types of the temporary arrays that ``node`` works in."""

    def inplace(self, node: Node) -> tuple[int, ...]:
        """Operands whose array ``node`` may overwrite with its result."""

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """``node`` on these arrays; ``outputs`` are its results, then its scratch."""

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """What to call, in order, to run all ``steps`` of the graph called ``name``."""


class NumpyKernels:
    """Every node by itself, by NumPy."""

    name = "numpy"
    conv = "im2col"

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """What the kernel asks for; views and constants run nothing."""
        if isinstance(node.op, Constant) or node.op.view:
            return ()
        operands = [value.type for value in node.inputs]
        return _kernel(node).scratch(node.op, operands, [value.type for value in node.outputs])

    def inplace(self, node: Node) -> tuple[int, ...]:
        """What the op says."""
        return node.op.inplace

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """The kernel, bound."""
        return BoundStep(node, _kernel(node).bind(node.op, inputs, outputs))

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """One call for each step."""
        return tuple(step.run for step in steps)


NUMPY = NumpyKernels()


def _kernel(node: Node) -> Kernel:
    try:
        return kernel_for(node.op)
    except ConvirError as error:
        raise error.located(node.where) from None
