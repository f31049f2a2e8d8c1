"""What runs a layer: all that its time depends on besides itself."""

from __future__ import annotations

from dataclasses import dataclass

from convir.common.version import __version__
from convir.runtime import KernelSet
from convir.runtime.blas import usable_threads
from convir.runtime.machine import this_machine


@dataclass(frozen=True)
class Place:
    """What runs a layer.

    Attributes:
        kernels: the backend.
        threads: how many threads a matrix product may use.
    """

    kernels: KernelSet
    threads: int = 1

    def question(self, what: str, version: int, **details: object) -> dict[str, object]:
        """What was measured here: the key under which it is kept.

        Machine and software, backend and compilers, and the threads that BLAS really has.

        Args:
            what: ``figures``, ``times``.
            version: of how it is measured.
            details: of what.
        """
        return {
            "what": what,
            "version": [version, __version__],
            "backend": [self.kernels.name, self.kernels.build],
            "threads": [self.threads, usable_threads(self.threads)],
            "machine": this_machine().to_json(),
            **details,
        }
