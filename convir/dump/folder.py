"""A folder of generated files that appears complete or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from convir.ir import ConvirError

#: Stands in the page's head; a folder whose page has it was made here and may be replaced.
GENERATOR = '<meta name="generator" content="convir dump">'

_GENERATED = re.compile(r"index\.html|\d{2,}_.+\.(txt|svg)")


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` to a new folder beside ``folder`` and rename it into place.

    Raises:
        ConvirError: ``folder`` holds what was not generated here, is a file or the current folder, or its
            parent does not exist or cannot be written to. ``folder`` is then as it was.
    """
    target = folder.resolve()
    _require_replaceable(target, folder)
    try:
        _write(target, files)
    except OSError as error:
        raise ConvirError(f"cannot write {folder}: {error.strerror or error}") from None
    return folder


def _require_replaceable(target: Path, folder: Path) -> None:
    if not target.parent.is_dir():
        raise ConvirError(f"cannot write {folder}: there is no folder {target.parent}")
    if not target.exists():
        return
    if not target.is_dir():
        raise ConvirError(f"cannot write {folder}: it is a file")
    if target == Path.cwd():
        raise ConvirError("cannot replace the current folder; name one inside it")
    other = sorted(path.name for path in target.iterdir() if not _GENERATED.fullmatch(path.name))
    if other or not _is_empty_or_ours(target):
        found = f" ({other[0]})" if other else ""
        raise ConvirError(f"{folder} holds other files{found}; name an empty folder, a new one or an earlier dump")


def _is_empty_or_ours(target: Path) -> bool:
    index = target / "index.html"
    if not index.is_file():
        return not any(target.iterdir())
    with index.open(encoding="utf-8", errors="replace") as file:
        return GENERATOR in file.read(1000)


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as workplace:
        fresh, stale = Path(workplace, "fresh"), Path(workplace, "stale")
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        if target.exists():
            os.rename(target, stale)
        try:
            os.rename(fresh, target)
        except OSError:
            if stale.exists():
                shutil.move(stale, target)
            raise
