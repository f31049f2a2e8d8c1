"""Loop nests as data: axes, and what is stored at each point of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from convir.ir import ConvirError, TensorType
from convir.loops.affine import Affine, Axis
from convir.loops.expr import Expr, Index, Load, Reduce, moved, transform, walk


@dataclass(frozen=True)
class Store:
    """``operand[offset] = value``"""

    operand: str
    offset: Affine
    value: Expr


@dataclass(frozen=True)
class Nest:
    """For every point of ``axes``, in any order: all stores.

    Attributes:
        axes: the loops whose points are independent of each other.
        reduced: the axes that reductions in the stores' values run over.
        stores: what is written at each point; no two points write one element.
    """

    axes: tuple[Axis, ...]
    reduced: tuple[Axis, ...]
    stores: tuple[Store, ...]

    @property
    def points(self) -> int:
        """How often the stores happen."""
        return prod(axis.extent for axis in self.axes)

    def extent(self, name: str) -> int:
        """The extent of the axis called ``name``."""
        return next(axis.extent for axis in (*self.axes, *self.reduced) if axis.name == name)

    def parts(self) -> Iterator[Expr]:
        """Every part of every stored value."""
        for store in self.stores:
            yield from walk(store.value)

    def offsets(self) -> Iterator[Affine]:
        """Every index expression."""
        yield from (store.offset for store in self.stores)
        yield from (part.offset for part in self.parts() if isinstance(part, Load | Index))

    def loaded(self) -> set[str]:
        """Names of the operands that are loaded."""
        return {part.operand for part in self.parts() if isinstance(part, Load)}

    def operands(self) -> set[str]:
        """Names of what is loaded or stored."""
        return self.loaded() | {store.operand for store in self.stores}

    @property
    def accumulates(self) -> bool:
        """Whether it reads what it writes: then no point may be computed twice."""
        return not self.loaded().isdisjoint(store.operand for store in self.stores)

    def moved(self, move: Callable[[Affine], Affine]) -> Nest:
        """The same with every index expression changed."""
        stores = (Store(s.operand, move(s.offset), moved(s.value, move)) for s in self.stores)
        return replace(self, stores=tuple(stores))

    def relocated(self, place: Callable[[str, Affine], Affine]) -> Nest:
        """The same with ``place(operand, offset)`` for where each operand is read and written."""

        def change(part: Expr) -> Expr | None:
            return replace(part, offset=place(part.operand, part.offset)) if isinstance(part, Load) else None

        stores = (Store(s.operand, place(s.operand, s.offset), transform(s.value, change)) for s in self.stores)
        return replace(self, stores=tuple(stores))


@dataclass(frozen=True)
class Together:
    """``for axis: parts``: for each point of one axis, nests and other such loops one after the other.

    Attributes:
        axis: the shared loop; the nests' indices use it, and none of them has it.
        parts: what runs inside.
    """

    axis: Axis
    parts: tuple[Nest | Together, ...]

    def __post_init__(self) -> None:
        inner = {axis.name for nest in self.nests for axis in (*nest.axes, *nest.reduced)}
        if self.axis.name in inner:
            raise ConvirError(f"the shared loop over {self.axis.name} has a loop of that name inside")

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests inside."""
        return tuple(nest for part in self.parts for nest in _nests(part))

    def operands(self) -> set[str]:
        """Names of what is loaded or stored."""
        return {name for nest in self.nests for name in nest.operands()}


#: What a program is made of.
Part = Nest | Together


def _nests(part: Part) -> tuple[Nest, ...]:
    return part.nests if isinstance(part, Together) else (part,)


@dataclass(frozen=True)
class Program:
    """What an op does: nests one after the other, and the temporary arrays between them.

    Attributes:
        parts: run in order.
        temporaries: name -> type of what is written and read by the nests only.
    """

    parts: tuple[Part, ...]
    temporaries: tuple[tuple[str, TensorType], ...] = ()

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests, those in shared loops too."""
        return tuple(nest for part in self.parts for nest in _nests(part))


def simplified(nest: Nest) -> Nest:
    """The same loops with axes of extent 1 dropped, and neighbours merged that are one run of memory everywhere.

    ``for w: for n: y[w*N + n] = x[w*N + n]`` is ``for n in range(W*N): y[n] = x[n]``.
    """
    ones = [axis.name for axis in (*nest.axes, *nest.reduced) if axis.extent == 1]
    nest = nest.moved(lambda offset: offset.without(ones))
    nest = replace(nest, axes=_longer(nest.axes), reduced=_longer(nest.reduced))
    axes, reduced = _merged(nest.axes, nest), _merged(nest.reduced, nest)
    gone = {axis.name for axis in (*nest.axes, *nest.reduced)} - {axis.name for axis in (*axes, *reduced)}
    nest = nest.moved(lambda offset: offset.without(gone))
    return _with_reduced_axes(replace(nest, axes=axes, reduced=reduced))


def _longer(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    return tuple(axis for axis in axes if axis.extent > 1)


def _merged(axes: Sequence[Axis], nest: Nest) -> tuple[Axis, ...]:
    """Neighbours merged into the inner one, whose coefficients stay as they are."""
    merged: list[Axis] = []
    for axis in reversed(axes):
        if merged and _one_run(axis, merged[-1], nest):
            merged[-1] = Axis(merged[-1].name, axis.extent * merged[-1].extent)
        else:
            merged.append(axis)
    return tuple(reversed(merged))


def _one_run(outer: Axis, inner: Axis, nest: Nest) -> bool:
    """Whether every index goes on where the inner loop ends, and every reduction is over both or neither."""
    names = {outer.name, inner.name}
    if any(isinstance(part, Reduce) and len(names & set(part.axes)) == 1 for part in nest.parts()):
        return False
    return all(
        offset.coefficient(outer.name) == inner.extent * offset.coefficient(inner.name) for offset in nest.offsets()
    )


def _with_reduced_axes(nest: Nest) -> Nest:
    """Reductions over the axes that are left; those over none stay, as reductions of one element."""
    left = {axis.name for axis in nest.reduced}

    def change(part: Expr) -> Expr | None:
        if not isinstance(part, Reduce):
            return None
        axes = tuple(name for name in part.axes if name in left)
        return replace(part, axes=axes, body=transform(part.body, change))

    stores = (replace(store, value=transform(store.value, change)) for store in nest.stores)
    return replace(nest, stores=tuple(stores))
