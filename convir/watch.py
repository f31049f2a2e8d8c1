"""Noticing what a user does to a model after it was compiled."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from convir.frontend import nn
from convir.frontend.nn import Parameter
from convir.ir import ExecutionError


class Watch:
    """What compiled graphs depend on beside the input shapes: training flags, and which objects a model holds.

    The lists are made once; looking at them takes about a microsecond. Functions and graphs have neither.
    """

    def __init__(self, model: Any) -> None:
        self._modules = tuple(nn.Module.modules(model)) if isinstance(model, nn.Module) else ()
        self._held = [
            (vars(module), name, item)
            for module in self._modules
            for name, item in vars(module).items()
            if isinstance(item, (nn.Module, Parameter))
        ]

    @property
    def flags(self) -> tuple[bool, ...]:
        """The training flag of every module."""
        return tuple([module.training for module in self._modules])

    @property
    def replaced(self) -> bool:
        """Whether a module or parameter of the model is another object now, or gone."""
        return any(attributes.get(name) is not item for attributes, name, item in self._held)


class Exclusive:
    """Lets one thread in; another that comes meanwhile gets an error instead of wrong numbers.

    A thread that an interrupt threw out before it could say that it leaves may come in again.
    """

    def __init__(self) -> None:
        self._inside: dict[None, int] = {}

    def __enter__(self) -> None:
        thread = threading.get_ident()
        if self._inside.setdefault(None, thread) != thread:  # one atomic step
            raise ExecutionError(
                "another thread is running this compiled model; it works in one piece of memory, so give each "
                "thread its own: compiled.clone()"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.clear()
