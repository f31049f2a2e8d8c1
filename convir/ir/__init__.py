"""What a graph is: types, values, nodes, ops with their shape rules, verifier, printing and pictures.

The ground floor: it imports nothing else of convir but the helpers in ``convir.common``.
"""

from convir.ir import ops
from convir.ir.builder import Builder, Provenance
from convir.ir.errors import (
    ConvirError,
    ConvirWarning,
    DTypeError,
    ExecutionError,
    LoadError,
    MemoryLimitError,
    MissingError,
    ShapeError,
    StateDictError,
    TraceError,
    UnsupportedError,
    VerifyError,
)
from convir.ir.graph import Assumption, Graph, Node, Parameter, Source, Value, describe_place
from convir.ir.op import OPS, Op, quiet
from convir.ir.types import DTYPES, Shape, TensorType
from convir.ir.verify import verify

__all__ = [
    "DTYPES",
    "OPS",
    "Assumption",
    "Builder",
    "ConvirError",
    "ConvirWarning",
    "DTypeError",
    "ExecutionError",
    "Graph",
    "LoadError",
    "MemoryLimitError",
    "MissingError",
    "Node",
    "Op",
    "Parameter",
    "Provenance",
    "Shape",
    "ShapeError",
    "Source",
    "StateDictError",
    "TensorType",
    "TraceError",
    "UnsupportedError",
    "Value",
    "VerifyError",
    "describe_place",
    "ops",
    "quiet",
    "verify",
]
