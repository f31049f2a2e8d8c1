"""Every error convir raises on purpose.

A message says what happened, where in the user's model and file, what was expected and given, and
where it helps, what to do. All derive from :class:`ConvirError`, and from the built-in exception
that Python convention suggests, so ``except ValueError`` also works.
"""

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


class ShapeError(ConvirError, ValueError):
    """Shapes or attributes that do not fit together."""


class DTypeError(ConvirError, TypeError):
    """An element type that an op or an executable cannot take."""


class TraceError(ConvirError, TypeError):
    """The model did something at trace time that needs a value, or is not traceable."""


class VerifyError(ConvirError):
    """A graph that breaks the rules of the IR: a bug in the pass that made it."""


class UnsupportedError(ConvirError, ValueError):
    """A valid request that convir cannot serve, or a name it does not know."""


class StateDictError(ConvirError, ValueError):
    """A state dict whose keys or shapes do not match the model's."""


class ExecutionError(ConvirError, RuntimeError):
    """A compiled graph used in the wrong order or with unusable data."""


class MemoryLimitError(ConvirError, MemoryError):
    """A memory plan larger than the limit; nothing was allocated."""


class LoadError(ConvirError, ValueError):
    """A model or data file that cannot be found, imported or read."""
