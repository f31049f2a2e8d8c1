"""Affine index expressions: where in an operand's memory a loop nest reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from convir.ir.types import Shape


@dataclass(frozen=True)
class Axis:
    """One loop: ``for name in range(extent)``."""

    name: str
    extent: int


@dataclass(frozen=True)
class Affine:
    """``const + sum of coefficient * axis``, in elements from the beginning of an operand.

    Attributes:
        const: the offset where all axes are 0.
        terms: (axis name, coefficient) sorted by name, none of them 0; so equal expressions are equal.
    """

    const: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, terms: Mapping[str, int], const: int = 0) -> Affine:
        """The expression with these coefficients."""
        return cls(const, tuple(sorted((name, number) for name, number in terms.items() if number)))

    def coefficient(self, axis: str) -> int:
        """How far one step along ``axis`` goes; 0 where it does not matter."""
        return dict(self.terms).get(axis, 0)

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.const + other, self.terms)
        total = dict(self.terms)
        for name, number in other.terms:
            total[name] = total.get(name, 0) + number
        return Affine.of(total, self.const + other.const)

    def __mul__(self, factor: int) -> Affine:
        return Affine.of({name: number * factor for name, number in self.terms}, self.const * factor)

    def renamed(self, names: Mapping[str, str]) -> Affine:
        """The same with axes called otherwise; two that become one are added."""
        return self.substituted({old: variable(new) for old, new in names.items()})

    def substituted(self, values: Mapping[str, Affine]) -> Affine:
        """The same with some axes replaced by expressions."""
        result = Affine(self.const)
        for name, number in self.terms:
            result = result + values.get(name, variable(name)) * number
        return result

    def at(self, point: Mapping[str, int]) -> Affine:
        """The same with some axes moved on by these numbers of steps."""
        return self + sum(number * point.get(name, 0) for name, number in self.terms)

    def without(self, axes: Iterable[str]) -> Affine:
        """The same where these axes are 0."""
        gone = set(axes)
        return Affine(self.const, tuple(term for term in self.terms if term[0] not in gone))

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes that matter."""
        return tuple(name for name, _ in self.terms)

    def __str__(self) -> str:
        """Python source: ``512*i + q + 16``."""
        parts = [name if number == 1 else f"{number}*{name}" for name, number in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts).replace("+ -", "- ")


def variable(name: str) -> Affine:
    """The axis itself."""
    return Affine(0, ((name, 1),))


def strides(shape: Shape) -> tuple[int, ...]:
    """Elements that one step along each axis of a contiguous array goes."""
    steps = [1]
    for dim in reversed(shape[1:]):
        steps.append(steps[-1] * dim)
    return tuple(reversed(steps[: len(shape)]))


def flat(shape: Shape, index: Sequence[Affine | str | int]) -> Affine:
    """Where ``index`` lies in a contiguous array of ``shape``: ``flat((C, H), ("c", h + 1))``."""
    total = Affine()
    for step, place in zip(strides(shape), index, strict=True):
        total = total + _affine(place) * step
    return total


def _affine(place: Affine | str | int) -> Affine:
    if isinstance(place, str):
        return variable(place)
    return Affine(place) if isinstance(place, int) else place


def axes_over(shape: Sequence[int], names: Sequence[str]) -> tuple[Axis, ...]:
    """An axis for each dimension."""
    return tuple(Axis(name, extent) for name, extent in zip(names, shape, strict=True))


def index_of(axes: Sequence[Axis]) -> tuple[Affine, ...]:
    """The point itself as an index."""
    return tuple(variable(axis.name) for axis in axes)
