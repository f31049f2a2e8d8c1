"""Every error convir raises on purpose.

A message says what happened, where in the user's model and file, what was expected and given, and
where it helps, what to do. All derive from :class:`ConvirError`, and from the built-in exception
that Python convention suggests, so ``except ValueError`` also works.
"""

from __future__ import annotations

from convir.common.errors import ConvirError as ConvirError
from convir.common.errors import ConvirWarning as ConvirWarning


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


class MissingError(UnsupportedError, AttributeError):
    """A name of PyTorch's that convir does not have; an AttributeError, so that hasattr and getattr work."""


class StateDictError(ConvirError, ValueError):
    """A state dict whose keys or shapes do not match the model's."""


class ExecutionError(ConvirError, RuntimeError):
    """A compiled graph used in the wrong order or with unusable data."""


class MemoryLimitError(ConvirError, MemoryError):
    """A memory plan larger than the limit; nothing was allocated."""


class LoadError(ConvirError, ValueError):
    """A model or data file that cannot be found, imported or read."""
