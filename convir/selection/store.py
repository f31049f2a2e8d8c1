"""Measurements that are kept between processes: a file for each, which says what it is of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convir.common.cache import Cache, cache_folder
from convir.common.lock import locked

MEASURED = Cache("measurements", "measured", ".json", "measures again")


#: Seconds for which a process waits for another one that measures, and then measures beside it.
WAIT = 30.0


@contextmanager
def measuring_alone() -> Iterator[None]:
    """No other process, and no other thread, measures meanwhile: both would find the machine slower than it is.

    Who waited for it should look whether what it wants is there now.
    """
    with locked(cache_folder() / "measuring.lock", WAIT):
        yield


def load(question: dict[str, Any]) -> Any:
    """The answer that was kept for ``question``; None where there is none, or where the file is not whole.

    A file that somebody damaged, or one of another question whose name is the same by chance, is as good as none: what
    it should hold is measured again, and overwrites it.
    """
    content = MEASURED.read(_key(question))
    kept = None if content is None else _whole(content)
    return kept["answer"] if kept and kept["question"] == plain(question) else None


def everything(what: str) -> Iterator[tuple[dict[str, Any], Any, float]]:
    """Every question of this kind, its answer, and when that was kept, in seconds since the epoch."""
    for content, when in MEASURED.written():
        kept = _whole(content)
        if kept and isinstance(kept["question"], dict) and kept["question"].get("what") == what:
            yield kept["question"], kept["answer"], when


def _whole(content: bytes) -> Any:
    """A file's ``question`` and ``answer``; None where it is damaged."""
    try:
        kept = json.loads(content)
        return kept if kept["checksum"] == _checksum(kept["answer"]) and "question" in kept else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def save(question: dict[str, Any], answer: Any) -> None:
    """Keep the answer, of plain types; a reader sees all of it or nothing, and of two writers one wins."""
    kept = {"question": plain(question), "answer": answer, "checksum": _checksum(answer)}
    MEASURED.write(_key(question), json.dumps(kept, indent=1).encode())


def plain(question: dict[str, Any]) -> Any:
    """As it comes back from a file: tuples are lists."""
    return json.loads(json.dumps(question))


def _key(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:32]


def _checksum(answer: Any) -> str:
    return hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()
