"""One block of memory from which every intermediate gets its array."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir import MemoryLimitError, TensorType

#: Arenas start at a multiple of this, so that offsets keep their alignment.
ALIGNMENT = 64


class Arena:
    """``nbytes`` of memory, allocated once.

    Raises:
        MemoryLimitError: more than this machine (or container) has; nothing is allocated.
    """

    def __init__(self, nbytes: int) -> None:
        available = machine_bytes()
        if nbytes > available:
            raise MemoryLimitError(
                f"the memory plan needs {nbytes / 2**30:.2f} GiB ({nbytes} bytes), this machine has "
                f"{available / 2**30:.2f} GiB; use a smaller batch or input"
            )
        self.nbytes = nbytes
        block = np.empty(nbytes + ALIGNMENT, np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        self._bytes = block[start : start + nbytes]

    def array(self, offset: int, type: TensorType) -> NDArray[Any]:
        """The contiguous array of ``type`` that starts ``offset`` bytes into the arena."""
        return self._bytes[offset : offset + type.nbytes].view(type.dtype).reshape(type.shape)

    def spans(self, array: NDArray[Any]) -> bool:
        """Whether ``array`` lies in this arena."""
        return np.may_share_memory(array, self._bytes)


def machine_bytes() -> int:
    """Bytes of memory of this machine, or of the container's limit where that is less."""
    limits = [int(text) for path in _CGROUP_LIMITS if (text := _read(path)).isdigit()]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits, default=2**63)  # unknown machines: let the allocation decide


_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
