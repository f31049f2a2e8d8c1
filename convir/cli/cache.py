"""``convir cache``: what the numba backend keeps on disk."""

from __future__ import annotations

from argparse import Namespace

from convir.runtime.native.cache import CacheReport, contents


def cache(args: Namespace) -> CacheReport:
    """How much there is and where, after removing it if asked."""
    return contents(clear=args.clear)
