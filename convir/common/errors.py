"""The base of every error convir raises on purpose; :mod:`convir.ir.errors` has the rest."""

from __future__ import annotations

from typing import Self


class ConvirError(Exception):
    """Base of all errors raised by convir.

    Attributes:
        message: what is wrong, without the place.
        where: the place, e.g. ``conv2d at features.3 (net.py:12)``, or ``""``.
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where

    def located(self, where: str) -> Self:
        """The same error with the place in front; the innermost place wins."""
        return self if self.where else type(self)(self.message, where)


class ConvirWarning(UserWarning):
    """Something works, but not as well as asked for; the message says what to do."""
