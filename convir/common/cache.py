"""What is kept on disk between processes: one file for each thing, in the user's cache folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from convir.common.errors import ConvirWarning
from convir.common.files import write_atomically

#: Folders that could not be written to, of which the user knows.
_refused: set[Path] = set()


def cache_folder() -> Path:
    """``CONVIR_CACHE_DIR``, or ``convir`` in the user's cache folder."""
    chosen = os.environ.get("CONVIR_CACHE_DIR")
    if chosen:
        return Path(chosen)
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(shared) / "convir"


@dataclass(frozen=True)
class CacheReport:
    """What a part of the cache holds.

    Attributes:
        folder: where it is.
        kept: what it keeps, ``compiled functions``.
        entries: how many of them.
        bytes: their size on disk.
        removed: whether they are gone now.
    """

    folder: str
    kept: str
    entries: int
    bytes: int
    removed: bool = False

    def to_json(self) -> dict[str, str | int]:
        """All attributes."""
        return dict(vars(self))

    def __str__(self) -> str:
        done = "removed from" if self.removed else "in"
        return f"{self.entries} {self.kept}, {self.bytes / 1024:.0f} KiB, {done} {self.folder}"


@dataclass(frozen=True)
class Cache:
    """A part of the cache.

    Attributes:
        kept: what it keeps, in the plural: ``compiled functions``.
        folder_name: of the folder inside :func:`cache_folder`.
        suffix: of its files.
        otherwise: what every process does where nothing can be kept: ``compiles them again``.
    """

    kept: str
    folder_name: str
    suffix: str
    otherwise: str

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return cache_folder() / self.folder_name

    def read(self, key: str) -> bytes | None:
        """What was written under ``key``, or None."""
        with suppress(OSError):
            return self._path(key).read_bytes()
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep ``content``; a folder that cannot be written to gets one warning, and the process goes on without.

        A reader sees all of it or nothing, whoever else writes.
        """
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            self._warn(path.parent, error)

    def written(self) -> Iterator[tuple[bytes, float]]:
        """Everything that is kept, and when it was written, in seconds since the epoch."""
        for file in sorted(self.folder.glob(f"*{self.suffix}")):
            with suppress(OSError):  # another process may clear it
                yield file.read_bytes(), file.stat().st_mtime

    def contents(self, clear: bool = False) -> CacheReport:
        """What there is, after removing it if asked: it is made anew when needed.

        Raises:
            OSError: a file cannot be removed.
        """
        files = sorted(self.folder.glob(f"*{self.suffix}"))
        size = 0
        for file in files:
            with suppress(FileNotFoundError):  # another process may clear it, too
                size += file.stat().st_size
                if clear:
                    file.unlink()
        return CacheReport(str(self.folder), self.kept, len(files), size, clear)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self.suffix}"

    def _warn(self, folder: Path, error: OSError) -> None:
        if folder in _refused:
            return
        _refused.add(folder)
        message = (
            f"{self.kept} cannot be kept in {folder} ({error.strerror or error}), so every process {self.otherwise}; "
            "set CONVIR_CACHE_DIR to a folder that can be written to"
        )
        warnings.warn(message, ConvirWarning, stacklevel=2)
