"""The engines: a module each, with ``load(threads)`` and ``build(case)``.

``load`` imports the engine, sets its threads, and returns the versions of what it imported. ``build``
returns a :class:`Program`. Both may raise: ``ModuleNotFoundError`` where something is not installed,
:class:`UnavailableError` where this engine cannot do it; any other exception is a failure. The module
itself imports nothing but the standard library, so that ``load`` is all of the import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class UnavailableError(Exception):
    """The engine, or this version of it, has no way to do what is asked; the message says why."""


class Program(NamedTuple):
    """A workload, ready to run.

    Attributes:
        call: computes once, and returns when everything is computed.
        arrays: what ``call`` returned as NumPy arrays: the output, or the loss and then every gradient.
    """

    call: Callable[[], Any]
    arrays: Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Engine:
    """An engine by the names it goes by.

    Attributes:
        name: on the command line and in JSON.
        title: in tables and plots.
        module: in this package.
        is_usual: whether it runs where nobody names engines.
    """

    name: str
    title: str
    module: str
    is_usual: bool = True


#: The first is what all are compared with.
ENGINES = (
    Engine("convir", "convir NumPy", "convir_numpy"),
    Engine("convir-numba", "convir Numba", "convir_numba"),
    Engine("convir-auto", "convir NumPy, auto", "convir_numpy_auto", is_usual=False),
    Engine("convir-numba-auto", "convir Numba, auto", "convir_numba_auto", is_usual=False),
    Engine("torch", "PyTorch eager", "torch_eager"),
    Engine("torch-compile", "torch.compile", "torch_compiled"),
    Engine("onnxruntime", "ONNX Runtime", "onnx_runtime"),
    Engine("jax", "JAX jit", "jax_jit"),
)


def chosen(names: list[str]) -> list[Engine]:
    """Engines by name, and convir first in any case, as what the others are compared with.

    Raises:
        ValueError: an unknown name.
    """
    known = {engine.name: engine for engine in ENGINES}
    for name in names:
        if name not in known:
            raise ValueError(f"no engine is called {name!r}; there are: {', '.join(known)}")
    return [engine for engine in ENGINES if engine.name in (ENGINES[0].name, *names)]
