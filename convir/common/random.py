"""The default random generator: initialisation, dropout and shuffling draw from it unless told otherwise."""

from __future__ import annotations

import operator

import numpy as np

from convir.common.errors import ConvirError

_default: np.random.Generator | None = None


class SeedError(ConvirError, ValueError):
    """A seed that is not a non-negative integer."""


def manual_seed(seed: int) -> None:
    """Make everything random in convir repeatable from here on.

    Model initialisation, dropout masks and batch order use the default generator when they are
    not handed one of their own.

    Raises:
        SeedError: ``seed`` is not a non-negative integer.
    """
    global _default
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise SeedError(f"a seed is an integer of at least 0, got {seed!r}", "manual_seed")
    _default = np.random.default_rng(number)


def default_generator() -> np.random.Generator:
    """The generator that :func:`manual_seed` sets."""
    global _default
    if _default is None:  # made when first drawn from: NumPy imports numpy.random only then
        _default = np.random.default_rng()
    return _default
