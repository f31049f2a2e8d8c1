"""Choosers that know nothing from before."""

from __future__ import annotations

from convir.selection import auto, forecast, known_figures, measured


def forget() -> None:
    """What this process has predicted, measured and decided."""
    for kept in (forecast.forecast, auto._decision, known_figures.figures_for):
        kept.cache_clear()
    measured._decided.clear()
