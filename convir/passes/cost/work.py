"""The work of a node: its cost, the bytes it moves, and what could not be counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from convir.ir import Node
from convir.ir.ops import Constant, Crop2d, DropoutMask, Slice2d
from convir.passes.cost.registry import Cost, cost_of

_NOTHING = Cost()


@dataclass(frozen=True)
class Work:
    """Operations and memory traffic of one or several nodes; works add up.

    Attributes:
        cost: scalar operations of the nodes that have a cost rule.
        bytes_read: bytes of operands read, see :func:`traffic`.
        bytes_written: bytes of results written.
        nodes: how many nodes this is the work of.
        uncounted: names of the nodes whose op has no cost rule; their operations are not in ``cost``.
    """

    cost: Cost = _NOTHING
    bytes_read: int = 0
    bytes_written: int = 0
    nodes: int = 0
    uncounted: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products."""
        return self.cost.macs

    @property
    def flops(self) -> int:
        """Floating-point operations of the multiply-accumulates, 2 each."""
        return self.cost.flops

    @property
    def pointwise(self) -> int:
        """All other scalar operations."""
        return self.cost.pointwise

    @property
    def multiplications(self) -> int:
        """Multiplications of data with data, see :class:`~convir.passes.cost.Cost`."""
        return self.cost.multiplications

    @property
    def counted_macs(self) -> int | None:
        """:attr:`macs`, or None unless every node has a cost rule."""
        return None if self.uncounted else self.macs

    @property
    def counted_flops(self) -> int | None:
        """:attr:`flops`, or None unless every node has a cost rule."""
        return None if self.uncounted else self.flops

    @property
    def counted_pointwise(self) -> int | None:
        """:attr:`pointwise`, or None unless every node has a cost rule."""
        return None if self.uncounted else self.pointwise

    @property
    def counted_multiplications(self) -> int | None:
        """:attr:`multiplications`, or None unless every node has a cost rule."""
        return None if self.uncounted else self.multiplications

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: (FLOPs + pointwise) per byte moved; None where unknown or where nothing is moved."""
        if self.uncounted or self.bytes_moved == 0:
            return None
        return (self.flops + self.pointwise) / self.bytes_moved

    def __add__(self, other: Work) -> Work:
        return Work(
            self.cost + other.cost,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.nodes + other.nodes,
            self.uncounted + other.uncounted,
        )

    @staticmethod
    def total(works: Iterable[Work]) -> Work:
        """The sum; of none, no work."""
        return reduce(add, works, NO_WORK)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types, with None for operations unless every node has a cost rule."""
        return self.totals() | {
            "macs": self.counted_macs,
            "flops": self.counted_flops,
            "pointwise": self.counted_pointwise,
            "multiplications": self.counted_multiplications,
        }

    def totals(self) -> dict[str, Any]:
        """The same with the operations of the nodes that have a cost rule, though others have none."""
        return {
            "macs": self.macs,
            "flops": self.flops,
            "pointwise": self.pointwise,
            "multiplications": self.multiplications,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "intensity": self.intensity,
            "nodes": self.nodes,
            "uncounted": list(self.uncounted),
        }


NO_WORK = Work()


def work_of(node: Node) -> Work:
    """Operations and bytes of one node."""
    operands = tuple(value.type for value in node.inputs)
    results = tuple(value.type for value in node.outputs)
    cost = cost_of(node.op, operands, results)
    read, written = traffic(node)
    return Work(cost or _NOTHING, read, written, 1, (node.name,) if cost is None else ())


def traffic(node: Node) -> tuple[int, int]:
    """Bytes that one execution reads and writes, with every operand read once and every result written once.

    - A value that is an operand twice (``x * x``) is read once.
    - Views (``reshape``, ``flatten``) move nothing; a constant is there already and is read by its users.
    - ``dropout_mask`` takes only the type of its operand and reads nothing.
    - ``crop2d`` and ``slice2d`` read what they keep; every other op its whole operands.
    - A copy (``transpose``, ``pad2d``, ``im2col``) reads its operand once and writes its result, however often an
      element is repeated in it.

    This is the least that a kernel without cache misses moves; a convolution run as a loop nest reads far more.
    """
    if node.op.view or isinstance(node.op, Constant):
        return 0, 0
    written = sum(value.type.nbytes for value in node.outputs)
    if isinstance(node.op, DropoutMask):
        return 0, written
    if isinstance(node.op, Crop2d | Slice2d):
        return written, written
    operands = {value.name: value.type.nbytes for value in node.inputs}
    return sum(operands.values()), written
