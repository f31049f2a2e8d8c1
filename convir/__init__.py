"""convir: a small compiler for convolutional networks.

It traces a model into a graph you can read, rewrites that graph pass by pass while you watch, and
runs it forward and backward on NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convir import nn
from convir.common.random import manual_seed
from convir.common.version import __version__
from convir.frontend import trace
from convir.ir import (
    ConvirError,
    ConvirWarning,
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

if TYPE_CHECKING:
    from convir import data, training, zoo
    from convir.comparison import Comparison, Sweep, compare, compare_layer, conv_layer, conv_layers, sweep
    from convir.compiled import Compiled, compile
    from convir.compiler import pipeline
    from convir.passes.infer_shapes import infer_shapes
    from convir.reports import estimate, summary

__all__ = [
    "Comparison",
    "Compiled",
    "ConvirError",
    "ConvirWarning",
    "DTypeError",
    "ExecutionError",
    "Graph",
    "LoadError",
    "MemoryLimitError",
    "ShapeError",
    "StateDictError",
    "Sweep",
    "TensorType",
    "TraceError",
    "UnsupportedError",
    "VerifyError",
    "__version__",
    "compare",
    "compare_layer",
    "compile",
    "conv_layer",
    "conv_layers",
    "data",
    "estimate",
    "infer_shapes",
    "manual_seed",
    "nn",
    "pipeline",
    "summary",
    "sweep",
    "trace",
    "training",
    "zoo",
]

#: Imported when first asked for (PEP 562), from these modules: writing and tracing a model needs none of them.
_LAZY = {
    "Comparison": "convir.comparison",
    "Compiled": "convir.compiled",
    "Sweep": "convir.comparison",
    "compare": "convir.comparison",
    "compare_layer": "convir.comparison",
    "compile": "convir.compiled",
    "conv_layer": "convir.comparison",
    "conv_layers": "convir.comparison",
    "data": "convir.data",
    "estimate": "convir.reports",
    "infer_shapes": "convir.passes.infer_shapes",
    "pipeline": "convir.compiler",
    "summary": "convir.reports",
    "sweep": "convir.comparison",
    "training": "convir.training",
    "zoo": "convir.zoo",
}

if not TYPE_CHECKING:  # a type checker has the imports above, and reports a name that is neither there nor here

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'convir' has no attribute {name!r}")
        module = import_module(_LAZY[name])
        # A submodule has been set by the import; a name inside one is kept here, so this runs once.
        return globals().setdefault(name, getattr(module, name, module))


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
