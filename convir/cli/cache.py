"""``convir cache``: what is kept on disk, and measuring the machine again."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from convir.common.cache import Cache, CacheReport
from convir.common.table import wrapped
from convir.runtime.native.cache import COMPILED
from convir.selection.store import MEASURED

#: Every part of the cache.
CACHES: tuple[Cache, ...] = (COMPILED, MEASURED)

_HOW = (
    "Predictions, such as those of auto, are made from these figures: the rates of matrix products and copies of "
    "several sizes, the best of nine samples each. They are measured when first needed, and again by convir cache "
    "--measure."
)


@dataclass(frozen=True)
class Contents:
    """What all parts of the cache hold, and the figures of this machine among it."""

    parts: tuple[CacheReport, ...]
    figures: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """``schema``; ``parts`` with ``folder, kept, entries, bytes, removed``; ``figures`` with ``backend, threads,
        dtype, when`` (seconds since the epoch) ``, figures``."""
        return {
            "schema": "convir.cache/1",
            "parts": [part.to_json() for part in self.parts],
            "figures": [each.to_json() for each in self.figures],
        }

    def __str__(self) -> str:
        parts = "\n".join(map(str, self.parts))
        if not self.figures:
            return parts
        return "\n".join([parts, "", *map(str, self.figures), wrapped(_HOW)])


def cache(args: Namespace) -> Contents:
    """How much there is and where, after removing it or measuring it again if asked."""
    from convir.selection.known_figures import kept_figures, measure_again

    if args.measure:
        measure_again()
    parts = tuple(each.contents(clear=args.clear) for each in CACHES)
    return Contents(parts, kept_figures())
