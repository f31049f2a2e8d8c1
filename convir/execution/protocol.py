"""What a specialisation needs of the way its batch runs, and what the ways share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from numpy.typing import NDArray

from convir.profiling import Part
from convir.runtime import Executable, blas_threads

Array = NDArray[Any]


class Half(Protocol):
    """The forward or the backward of a whole batch."""

    @property
    def views(self) -> tuple[Array, ...]:
        """Its results or gradients: read-only, the same arrays after every run, which overwrites them."""

    def run(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """Compute them from the inputs or cotangents of the whole batch; returns :attr:`views`."""

    def run_into_new(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """The same in new arrays."""


class Execution(Protocol):
    """A division with its memory."""

    @property
    def executable(self) -> Executable:
        """That of the first tile, which is the largest."""

    @property
    def part(self) -> Part | None:
        """Which part of the batch that runs; None for all of it."""

    @property
    def halves(self) -> Sequence[Half]:
        """The forward, and the backward where there is one."""

    def load(self, inputs: Sequence[Array]) -> None:
        """Copy the first tile's part of the inputs to where it lives."""


def limited(executable: Executable, threads: int) -> AbstractContextManager[None]:
    """A context in which BLAS uses so many threads at most; nothing where ``executable`` does not call it."""
    return blas_threads(threads) if executable.by_numpy else nullcontext()


def read_only(array: Array) -> Array:
    """A view that nobody can write to: other steps read what is behind it."""
    view = array.view()
    view.flags.writeable = False
    return view
