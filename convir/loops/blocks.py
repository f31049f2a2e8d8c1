"""Nests that go through the same blocks of what they hand on: one loop around them, and buffers of one block.

Loop fusion with array contraction (Gao, Olsen, Sarkar and Thekkath, *Collective Loop Fusion for Array
Contraction*, LCPC 1992). Winograd's transforms and the products between them do so row of tiles by row of tiles:
together they need a buffer of one row, which stays in the second cache, instead of all tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from convir.ir import TensorType
from convir.loops.affine import Affine, Axis, variable
from convir.loops.expr import Load
from convir.loops.nest import Nest, Together

#: Temporaries of fewer bytes than this, all together, are left as they are: they stay in a cache as it is.
SMALL = 128 * 1024


@dataclass(frozen=True)
class _Blocks:
    """How a temporary is divided: block ``b`` is where ``offset // step % count == b``."""

    step: int
    count: int

    @property
    def period(self) -> int:
        """From a place to the same place of the next row of blocks."""
        return self.step * self.count


def in_blocks(
    nests: Sequence[Nest], temporaries: Mapping[str, TensorType]
) -> tuple[tuple[Nest | Together, ...], dict[str, TensorType]] | None:
    """The longest run of ``nests`` that can share a loop over blocks, in one; and the types of what is left between.

    Args:
        nests: run in order.
        temporaries: name -> type of what only these nests write and read.

    Returns:
        None where no two neighbours can, or where nothing is won.
    """
    for first, last in sorted(combinations(range(len(nests) + 1), 2), key=lambda ends: ends[0] - ends[1]):
        if last - first < 2:
            continue
        inside = nests[first:last]
        handed = _handed_on(inside, nests, temporaries)
        for name in handed:
            found = _shared(inside, name, handed, temporaries)
            if found is not None:
                together, types = found
                return (*nests[:first], together, *nests[last:]), {**temporaries, **types}
    return None


def _handed_on(inside: Sequence[Nest], nests: Sequence[Nest], temporaries: Mapping[str, TensorType]) -> list[str]:
    """Temporaries that these nests write and read, and no others."""
    others = {name for nest in nests if nest not in inside for name in nest.operands()}
    return [name for name in temporaries if name not in others and any(name in nest.operands() for nest in inside)]


def _shared(
    nests: Sequence[Nest], first: str, handed: Sequence[str], temporaries: Mapping[str, TensorType]
) -> tuple[Together, dict[str, TensorType]] | None:
    """All ``nests`` in one loop over blocks of the temporary ``first``, if they all go through the same ones."""
    if sum(temporaries[name].nbytes for name in handed) < SMALL:
        return None
    writer = next(nest for nest in nests if first in {store.operand for store in nest.stores})
    outer = _unused("block", nests)
    for axis in writer.axes:
        steps = {offset.coefficient(axis.name) for offset in _offsets(writer, first)}
        if axis.extent == 1 or len(steps) != 1 or 0 in steps:
            continue
        blocks = {first: _Blocks(steps.pop(), axis.extent)}
        moved = _through_all(nests, blocks, handed, outer)
        if moved is not None and _saves(moved, handed, temporaries, Axis(outer, axis.extent)):
            types = {name: _buffer(temporaries[name], blocks[name]) for name in handed}
            return Together(Axis(outer, axis.extent), tuple(_contracted(nest, blocks, outer) for nest in moved)), types
    return None


def _through_all(
    nests: Sequence[Nest], blocks: dict[str, _Blocks], handed: Sequence[str], outer: str
) -> list[Nest] | None:
    """The nests with ``outer`` for their loops over blocks; fills in the blocks of what they hand on."""
    moved: dict[int, Nest] = {}
    while len(moved) < len(nests):
        place = next((i for i, nest in enumerate(nests) if i not in moved and blocks.keys() & nest.operands()), None)
        if place is None:
            return None
        nest = _through(nests[place], next(name for name in blocks if name in nests[place].operands()), blocks, outer)
        if nest is None:
            return None
        moved[place] = nest
        for name in nest.operands() & set(handed):
            steps = {offset.coefficient(outer) for offset in _offsets(nest, name)}
            own = _Blocks(steps.pop(), next(iter(blocks.values())).count)
            if steps or own.step <= 0 or blocks.setdefault(name, own) != own:
                return None
            if any(not _inside(nest, offset.without([outer]), own) for offset in _offsets(nest, name)):
                return None
    return [moved[place] for place in range(len(nests))]


def _through(nest: Nest, name: str, blocks: Mapping[str, _Blocks], outer: str) -> Nest | None:
    """``nest`` with one of its axes, or the outer part of one, replaced by ``outer``; None where none fits."""
    wanted = blocks[name]
    for axis in nest.axes:
        step = {offset.coefficient(axis.name) for offset in _offsets(nest, name)}
        if len(step) != 1 or 0 in step:
            continue
        own = step.pop()
        inner, rest = divmod(wanted.step, own)
        if rest or axis.extent != inner * wanted.count:
            continue
        value = variable(outer) if inner == 1 else variable(outer) * inner + variable(axis.name)
        moved = nest.moved(lambda offset, axis=axis, value=value: offset.substituted({axis.name: value}))  # type: ignore[misc]
        left = tuple(replace(a, extent=inner) if a == axis else a for a in nest.axes if a != axis or inner > 1)
        return replace(moved, axes=left)
    return None


def _saves(nests: Sequence[Nest], handed: Sequence[str], temporaries: Mapping[str, TensorType], outer: Axis) -> bool:
    """Whether more is written and read again between the nests than they would read again in every block."""
    lengths: dict[str, int] = {}
    for nest in nests:
        for name in nest.loaded() - set(handed):
            for offset in _offsets(nest, name):
                if not offset.coefficient(outer.name):
                    lengths[name] = max(lengths.get(name, 0), _last(nest, offset) + 1)
    again = outer.extent * sum(lengths.values())
    return again < 2 * sum(temporaries[name].size for name in handed)


def _last(nest: Nest, offset: Affine) -> int:
    """The largest value of ``offset``."""
    extents = {axis.name: axis.extent for axis in (*nest.axes, *nest.reduced)}
    return offset.const + sum(max(0, number) * (extents[name] - 1) for name, number in offset.terms)


def _inside(nest: Nest, offset: Affine, blocks: _Blocks) -> bool:
    """Whether ``offset``, without the loop over blocks, stays in block 0."""
    extents = {axis.name: axis.extent for axis in (*nest.axes, *nest.reduced)}
    within = offset.const % blocks.period
    for name, number in offset.terms:
        if number % blocks.period:
            if number < 0:
                return False
            within += number * (extents[name] - 1)
    return within < blocks.step


def _contracted(nest: Nest, blocks: Mapping[str, _Blocks], outer: str) -> Nest:
    """``nest`` on buffers of one block."""

    def shorter(name: str, offset: Affine) -> Affine:
        if name not in blocks:
            return offset
        own = blocks[name]
        terms = {
            axis: number // own.period * own.step if number % own.period == 0 else number
            for axis, number in offset.without([outer]).terms
        }
        return Affine.of(terms, offset.const // own.period * own.step + offset.const % own.period)

    return nest.relocated(shorter)


def _buffer(type: TensorType, blocks: _Blocks) -> TensorType:
    """One block of each row."""
    return type.with_shape((type.size // blocks.count,))


def _offsets(nest: Nest, name: str) -> Iterator[Affine]:
    """Where ``nest`` reads and writes ``name``."""
    yield from (store.offset for store in nest.stores if store.operand == name)
    yield from (part.offset for part in nest.parts() if isinstance(part, Load) and part.operand == name)


def _unused(name: str, nests: Sequence[Nest]) -> str:
    """A name for a loop that no loop has."""
    taken = {axis.name for nest in nests for axis in (*nest.axes, *nest.reduced)}
    while name in taken:
        name += "_"
    return name
