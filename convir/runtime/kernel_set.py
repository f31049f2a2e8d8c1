"""What runs the nodes of a program: the kernel sets that an executable can be built with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convir.ir import ConvirError, Graph, Node, TensorType, UnsupportedError, Value
from convir.ir.ops import Constant
from convir.runtime.calls import Call, calls_of
from convir.runtime.kernels import Array, Kernel, Step, kernel_for
from convir.runtime.preference import Preferences, always, winograd_by_numpy

if TYPE_CHECKING:
    from convir.runtime.build_report import BuildReport
    from convir.runtime.lanes import LaneSet, Row


@dataclass(frozen=True)
class BoundStep:
    """A node and the callable that runs it on the arrays it always uses.

    ``by_numpy``: whether it calls NumPy, which has settings to watch: BLAS threads and floating-point warnings.
    ``guard``: what to ask after the step has run, where it cannot raise an error itself.
    """

    node: Node
    run: Step
    by_numpy: bool = field(default=True, kw_only=True)
    guard: Step | None = field(default=None, kw_only=True)


class KernelSet(Protocol):
    """How nodes run: what they need, how they are bound, and how bound steps become calls."""

    def __hash__(self) -> int:
        """Equal sets are one: predictions for them are kept."""

    @property
    def name(self) -> str:
        """What users type for it."""

    @property
    def build(self) -> str:
        """What its times depend on besides the machine: versions of compilers, and what they compile for."""

    @property
    def conv(self) -> Preferences:
        """The lowering strategies of convolution that suit it, in order of preference."""

    @property
    def lane_flops(self) -> int:
        """Operations that a thread has to take over before it pays to wake it."""

    @property
    def fuses(self) -> bool:
        """Whether a region runs faster than its ops one by one."""

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """Types of the temporary arrays that ``node`` works in."""

    def inplace(self, node: Node) -> tuple[int, ...]:
        """Operands whose array ``node`` may overwrite with its result."""

    def watched(self, node: Node) -> Sequence[Value]:
        """Operands and results of ``node`` that its guard looks at when the graph has run."""

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """``node`` on these arrays; ``outputs`` are its results, then its scratch."""

    def prepare(self, graphs: Sequence[Graph]) -> BuildReport | None:
        """Make ready what all these graphs run, before they are bound; None where there is nothing to make."""

    def calls(self, node: Node) -> Sequence[Call] | None:
        """What running ``node`` asks of the machine, known before anything runs; None where it is not known."""

    def source(self, node: Node) -> str:
        """The Python source that was generated for ``node``; raises UnsupportedError where none was."""

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """What to call, in order, to run all ``steps`` of the graph called ``name``."""

    def lanes(self, rows: Sequence[Sequence[Row]]) -> LaneSet | None:
        """What runs all tiles in one call, given the rows of each lane; None where it takes a call for each step."""


class NumpyKernels:
    """Every node by itself, by NumPy."""

    name = "numpy"
    build = ""
    conv: Preferences = (("winograd_4x4", winograd_by_numpy), ("toeplitz", always))
    fuses = False
    #: Some 300 microseconds: waking a thread takes 60, and the threads wait for each other's Python.
    lane_flops = 12_000_000

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """What the kernel asks for; views and constants run nothing."""
        if isinstance(node.op, Constant) or node.op.view:
            return ()
        operands = [value.type for value in node.inputs]
        return _kernel(node).scratch(node.op, operands, [value.type for value in node.outputs])

    def inplace(self, node: Node) -> tuple[int, ...]:
        """What the op says."""
        return node.op.inplace

    def watched(self, node: Node) -> Sequence[Value]:
        """NumPy's kernels raise their errors themselves."""
        return ()

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """The kernel, bound."""
        return BoundStep(node, _kernel(node).bind(node.op, inputs, outputs))

    def prepare(self, graphs: Sequence[Graph]) -> None:
        """NumPy is compiled already."""

    def calls(self, node: Node) -> Sequence[Call] | None:
        """Those of the kernel, bound to arrays that nobody writes to, which take no memory."""
        if isinstance(node.op, Constant) or node.op.view:
            return ()
        inputs, outputs = (
            [np.empty(value.type.shape, value.type.dtype) for value in part] for part in (node.inputs, node.outputs)
        )
        scratch = [np.empty(type.shape, type.dtype) for type in self.scratch(node)]
        return calls_of(self.bind(node, inputs, [*outputs, *scratch]).run)

    def source(self, node: Node) -> str:
        """There is none."""
        raise UnsupportedError(
            f"{node.name} has no generated source: NumPy runs it; compile(..., backend='numba') generates loops",
            node.where,
        )

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """One call for each step."""
        return tuple(step.run for step in steps)

    def lanes(self, rows: Sequence[Sequence[Row]]) -> LaneSet | None:
        """NumPy is called for every step."""
        return None


NUMPY = NumpyKernels()


def _kernel(node: Node) -> Kernel:
    try:
        return kernel_for(node.op)
    except ConvirError as error:
        raise error.located(node.where) from None
