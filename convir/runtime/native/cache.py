"""Where compiled functions are kept: one file each, with a checksum."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from convir.common.files import write_atomically
from convir.ir import ConvirWarning

_SUFFIX = ".native"

#: Folders that could not be written to, of which the user knows.
_refused: set[Path] = set()


def cache_folder() -> Path:
    """``CONVIR_CACHE_DIR``, or ``convir`` in the user's cache folder."""
    chosen = os.environ.get("CONVIR_CACHE_DIR")
    if chosen:
        return Path(chosen)
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(shared) / "convir"


def read(key: str) -> bytes | None:
    """What was written under ``key``, or None."""
    with suppress(OSError):
        return _path(key).read_bytes()
    return None


def write(key: str, content: bytes) -> None:
    """Keep ``content``; a folder that cannot be written to gets one warning, and the process goes on without.

    A reader sees all of it or nothing, whoever else writes.
    """
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        _warn(path.parent, error)


@dataclass(frozen=True)
class CacheReport:
    """What the cache holds.

    Attributes:
        folder: where it is.
        functions: how many compiled functions.
        bytes: their size on disk.
        removed: whether they are gone now.
    """

    folder: str
    functions: int
    bytes: int
    removed: bool = False

    def to_json(self) -> dict[str, str | int]:
        """All attributes."""
        return dict(vars(self))

    def __str__(self) -> str:
        done = "removed from" if self.removed else "in"
        return f"{self.functions} compiled functions, {self.bytes / 1024:.0f} KiB, {done} {self.folder}"


def contents(clear: bool = False) -> CacheReport:
    """What the cache holds, after removing it if asked: it is made anew when needed.

    Raises:
        OSError: a file cannot be removed.
    """
    folder = _path("").parent
    files = sorted(folder.glob(f"*{_SUFFIX}"))
    size = 0
    for file in files:
        with suppress(FileNotFoundError):  # another process may clear it, too
            size += file.stat().st_size
            if clear:
                file.unlink()
    return CacheReport(str(folder), len(files), size, clear)


def _path(key: str) -> Path:
    return cache_folder() / "native" / f"{key}{_SUFFIX}"


def _warn(folder: Path, error: OSError) -> None:
    if folder in _refused:
        return
    _refused.add(folder)
    message = (
        f"compiled functions cannot be kept in {folder} ({error.strerror or error}), so every process compiles them "
        "again; set CONVIR_CACHE_DIR to a folder that can be written to"
    )
    warnings.warn(message, ConvirWarning, stacklevel=2)
