"""``convir cache``: what is kept on disk."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from convir.common.cache import Cache, CacheReport
from convir.runtime.native.cache import COMPILED
from convir.selection.store import MEASURED

#: Every part of the cache.
CACHES: tuple[Cache, ...] = (COMPILED, MEASURED)


@dataclass(frozen=True)
class Contents:
    """What all parts of the cache hold."""

    parts: tuple[CacheReport, ...]

    def to_json(self) -> dict[str, Any]:
        """``schema``, and ``parts`` with ``folder, kept, entries, bytes, removed``."""
        return {"schema": "convir.cache/1", "parts": [part.to_json() for part in self.parts]}

    def __str__(self) -> str:
        return "\n".join(map(str, self.parts))


def cache(args: Namespace) -> Contents:
    """How much there is and where, after removing it if asked."""
    return Contents(tuple(each.contents(clear=args.clear) for each in CACHES))
