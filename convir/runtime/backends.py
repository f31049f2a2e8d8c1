"""Kernel sets by the names that users type."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from convir.ir import UnsupportedError
from convir.runtime.kernel_set import NUMPY, KernelSet

#: ``auto`` is numba where it is installed, numpy elsewhere.
BACKENDS = ("numpy", "numba", "auto")


def kernels_for(backend: str) -> KernelSet:
    """The kernel set called ``backend``.

    Raises:
        UnsupportedError: an unknown name, or Numba is asked for and not installed.
    """
    if backend not in BACKENDS:
        raise UnsupportedError(f"unknown backend={backend!r}; there are: {', '.join(BACKENDS)}")
    if backend == "numpy" or (backend == "auto" and find_spec("numba") is None):
        return NUMPY
    if find_spec("numba") is None:
        raise UnsupportedError("backend='numba' needs Numba, which is not installed: pip install 'convir[numba]'")
    return _numba()


@cache
def _numba() -> KernelSet:
    """Numba takes half a second to import, so it is imported when first asked for."""
    from convir.runtime.native.kernels import NumbaKernels

    return NumbaKernels()
