"""The default random generator: initialisation, dropout and shuffling draw from it unless told otherwise."""

from __future__ import annotations

import numpy as np

_default = np.random.default_rng()


def manual_seed(seed: int) -> None:
    """Make everything random in convir repeatable from here on.

    Model initialisation, dropout masks and batch order use the default generator when they are
    not handed one of their own.
    """
    global _default
    _default = np.random.default_rng(seed)


def default_generator() -> np.random.Generator:
    """The generator that :func:`manual_seed` sets."""
    return _default
