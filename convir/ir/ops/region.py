"""Several ops that run as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from convir.ir.errors import ShapeError
from convir.ir.graph import Graph, Node
from convir.ir.op import Op
from convir.ir.ops.constant import Constant
from convir.ir.types import TensorType

_EMPTY = Graph("region", (), (), (), ())


@dataclass(frozen=True)
class Region(Op):
    """``y = body(operands)``: a graph in the place of one op, which a kernel set may run as one loop nest.

    Attributes:
        body: what is computed: as many inputs as there are operands, no parameters; results that its nodes compute,
            each once, since a view, a constant or an operand has no array of its own to be.
    """

    name = "region"
    kind = "region"
    body: Graph = field(default=_EMPTY)

    def check(self) -> None:
        if self.body.params:
            raise ShapeError(f"the body of a region has no parameters of its own, got {self.body.params[0]}")
        computed = {value for node in self.body.nodes if not _stores_nothing(node) for value in node.outputs}
        for value in self.body.outputs:
            if value not in computed:
                raise ShapeError(
                    f"the results of a region are what its body computes, each once, but {value} is an input, a view, "
                    f"a constant or returned twice; leave it outside of the region"
                )
            computed.remove(value)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        expected = tuple(value.type for value in self.body.inputs)
        if operands != expected:
            given = ", ".join(map(str, operands)) or "none"
            raise ShapeError(f"the body takes operands {', '.join(map(str, expected)) or 'none'}, got {given}")
        return tuple(value.type for value in self.body.outputs)

    @property
    def stem(self) -> str:
        """The names of its ops, views left out: ``conv2d_direct_max_pool2d_taps``."""
        return "_".join(node.op.name for node in self.body.nodes if not node.op.view)

    def attributes(self) -> dict[str, Any]:
        """The ops of the body, for labels; the text form shows the body itself below the node."""
        return {"body": " > ".join(node.op.name for node in self.body.nodes if not node.op.view)}


def _stores_nothing(node: Node) -> bool:
    """Whether a node's result is another's bytes, or known before anything runs."""
    return node.op.view or isinstance(node.op, Constant)
