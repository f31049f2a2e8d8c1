"""Modules that hold other modules in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self

from convir.frontend.nn.module import Module, written
from convir.frontend.recording import place
from convir.frontend.source import boundary
from convir.ir import TraceError, UnsupportedError


class Container(Module):
    """What Sequential and ModuleList share: modules under names in order, reached by position."""

    def __len__(self) -> int:
        return len(_names(self))

    def __iter__(self) -> Iterator[Module]:
        return iter([getattr(self, name) for name in _names(self)])

    def __getitem__(self, index: Any) -> Any:
        """The module at a position, or a container of the modules in a slice."""
        names = _names(self)
        if isinstance(index, slice):
            return self._of((name, getattr(self, name)) for name in names[index])
        return getattr(self, names[self._position(index)])

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(_names(self)[self._position(index)], module)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        taken = _names(self)
        # A slice keeps its modules' names, so the next number may be taken.
        number = next(n for n in range(len(taken), 2 * len(taken) + 1) if str(n) not in taken)
        self.add_module(str(number), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def _of(self, items: Iterable[tuple[str, Module]]) -> Container:
        raise NotImplementedError

    def _position(self, index: Any) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} of {len(self)} modules has no index {index}")
        return int(index) % len(self)


class Sequential(Container):
    """Runs its modules one after the other: ``Sequential(a, b)(x)`` is ``b(a(x))``.

    Takes modules, which are named ``0``, ``1``, ..., or one OrderedDict (or dict) of named modules.

    Raises:
        TraceError: something that is not a module; a name that is empty, has a dot or is taken.
    """

    def __init__(self, *modules: Any) -> None:
        named = isinstance(modules[0], Mapping) if len(modules) == 1 else False
        items = modules[0].items() if named else ((str(i), module) for i, module in enumerate(modules))
        for name, module in items:
            if isinstance(module, (list, tuple)):
                raise TraceError(
                    "takes modules, not a list of them; unpack it: Sequential(*layers)", place("Sequential")
                )
            self.add_module(name, module)

    @boundary
    def forward(self, input: Any) -> Any:
        """What the first module takes -> what the last one returns"""
        for module in self:
            input = module(input)
        return input

    def _of(self, items: Iterable[tuple[str, Module]]) -> Container:
        return Sequential(OrderedDict(items))


class ModuleList(Container):
    """A list of modules that the model owns: ``for layer in self.layers: x = layer(x)``.

    Raises:
        TraceError: something that is not a module.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def forward(self, *inputs: Any) -> Any:
        """Raises UnsupportedError: a list has no computation of its own."""
        raise UnsupportedError("a ModuleList cannot be called; loop over its modules, or use nn.Sequential")

    def _of(self, items: Iterable[tuple[str, Module]]) -> Container:
        return ModuleList(module for _, module in items)

    def __repr__(self) -> str:
        """As in PyTorch: neighbours with one representation share a line."""
        parts = []
        position = 0
        for text, group in groupby(repr(module) for module in self):
            number = len(list(group))
            body = text.replace("\n", "\n  ")
            parts.append(f"({position}): {body}" if number == 1 else
                         f"({position}-{position + number - 1}): {number} x {body}")  # fmt: skip
            position += number
        return written(type(self).__name__, "", parts)


def _names(container: Container) -> list[str]:
    return [name for name, value in vars(container).items() if isinstance(value, Module)]
