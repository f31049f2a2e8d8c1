"""convir: a small compiler for convolutional networks.

It traces a model into a graph you can read, rewrites that graph pass by pass while you watch, and
runs it forward and backward on NumPy.
"""

from convir import zoo
from convir.common.random import manual_seed
from convir.comparison import Comparison, compare
from convir.compiled import Compiled, compile
from convir.compiler import pipeline
from convir.frontend import nn, trace
from convir.ir import (
    ConvirError,
    DTypeError,
    ExecutionError,
    Graph,
    LoadError,
    MemoryLimitError,
    ShapeError,
    StateDictError,
    TensorType,
    TraceError,
    UnsupportedError,
    VerifyError,
)
from convir.passes.infer_shapes import infer_shapes
from convir.reports import estimate, summary

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Compiled",
    "ConvirError",
    "DTypeError",
    "ExecutionError",
    "Graph",
    "LoadError",
    "MemoryLimitError",
    "ShapeError",
    "StateDictError",
    "TensorType",
    "TraceError",
    "UnsupportedError",
    "VerifyError",
    "compare",
    "compile",
    "estimate",
    "infer_shapes",
    "manual_seed",
    "nn",
    "pipeline",
    "summary",
    "trace",
    "zoo",
]
