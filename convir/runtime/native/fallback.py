"""Nodes whose loops could not be compiled: NumPy runs them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from convir.ir import ConvirWarning, Node
from convir.runtime.kernel_set import NUMPY, BoundStep
from convir.runtime.kernels import Array
from convir.runtime.native.compiler import CompileError


def numpy_step(node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
    """The node by NumPy. ``outputs`` are its results, then scratch for loops, which NumPy's kernel cannot use.

    The memory plan was made for the loops, so the kernel's own scratch lies outside of the arena.
    """
    scratch = [np.empty(type.shape, type.dtype) for type in NUMPY.scratch(node)]
    return NUMPY.bind(node, inputs, [*outputs[: len(node.outputs)], *scratch])


def warn(failed: Mapping[Node, CompileError]) -> None:
    """One warning for each node."""
    for node, error in failed.items():
        message = f"{node.name}, {node.where}: runs on NumPy, slower, because it could not be compiled: {error}"
        warnings.warn(message, ConvirWarning, stacklevel=2)
