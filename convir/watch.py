"""Noticing what a user does to a model after it was compiled."""

from __future__ import annotations

import threading
from operator import attrgetter, is_not
from types import TracebackType
from typing import Any

from convir.frontend import nn
from convir.frontend.nn import Parameter
from convir.ir import ExecutionError


class Watch:
    """What compiled graphs depend on beside the input shapes: training flags, and which objects a model holds.

    It knows both as they were when it was made; to compare them with what they are takes about a microsecond. Functions
    and graphs have neither.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._modules = tuple(nn.Module.modules(model)) if isinstance(model, nn.Module) else ()
        held = [
            (vars(module), name, item)
            for module in self._modules
            for name, item in vars(module).items()
            if isinstance(item, (nn.Module, Parameter))
        ]
        self._attributes = [attributes for attributes, _, _ in held]
        self._names = [name for _, name, _ in held]
        self._items = [item for _, _, item in held]
        #: The training flag of every module.
        self.flags = tuple(map(_TRAINING, self._modules))

    @property
    def is_outdated(self) -> bool:
        """Whether a module or parameter of the model is another object now, or gone."""
        return any(map(is_not, map(dict.get, self._attributes, self._names), self._items))

    @property
    def has_changed(self) -> bool:
        """Whether that is so, or a training flag is another."""
        return self.is_outdated or any(map(is_not, map(_TRAINING, self._modules), self.flags))

    def renewed(self) -> Watch:
        """Of the model as it is now."""
        return Watch(self._model)

    def require_traceable(self) -> None:
        """It can always be traced again."""


_TRAINING = attrgetter("training")


class SnapshotWatch(Watch):
    """Of a model whose parameters were taken when it was compiled, in evaluation mode: nothing is out of date.

    But tracing it again, for another shape, would take what it holds now.
    """

    has_changed = False

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.flags = ()

    def renewed(self) -> Watch:
        """What was taken stays."""
        return self

    def require_traceable(self) -> None:
        """Raise ExecutionError if the model holds other objects than those that were taken."""
        if self.is_outdated:
            raise ExecutionError("modules or parameters were replaced after compile(inference=True); compile again")


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
