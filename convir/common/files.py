"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write ``content`` to a temporary file beside ``path`` and rename it into place.

    Raises:
        OSError: the folder does not exist or is not writable; it names ``path``, which is then untouched.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with _naming(target):
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    return target


def require_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that :func:`write_atomically` would, before the work whose result it is to write."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    with _naming(target):
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        os.unlink(temporary)


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """An OSError that names ``target``, and not the temporary file beside it, of which the user knows nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from None


def _umask() -> int:
    """The process's umask: mkstemp ignores it, and a report should be as readable as any file."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
