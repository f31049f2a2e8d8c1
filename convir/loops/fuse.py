"""Joining nests, so that what one stores and the next loads stays in registers or in the nearest cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from convir.ir import TensorType
from convir.loops.affine import Affine, Axis, variable
from convir.loops.blocks import in_blocks
from convir.loops.expr import Expr, Index, Load, Reduce, transform, walk
from convir.loops.nest import Nest, Part, Program, Store, Together, simplified

#: Parts of an expression that is put in the place of another, counted as often as it is; more stay in memory.
MOST_PARTS = 64


def fused(program: Program) -> Program:
    """``program`` with nests joined, and without the temporaries that nobody needs any more.

    An element-by-element nest goes into the one whose result it reads, or takes in the one that computes
    its operand; a pooling runs row by row behind the convolution that makes its rows. What goes through blocks
    already is left as it is, between nests that are joined.
    """
    if any(isinstance(part, Together) for part in program.parts):
        return _between_blocks(program)
    nests = list(program.nests)
    temporaries = dict(program.temporaries)
    for name in temporaries:
        nests = _inlined(nests, name)
    parts: list[Nest | Together] = list(nests)
    for name in list(temporaries):
        parts = _row_by_row(parts, name, temporaries)
    if all(isinstance(part, Nest) for part in parts):
        blocked = in_blocks([part for part in parts if isinstance(part, Nest)], temporaries)
        if blocked is not None:
            parts, temporaries = list(blocked[0]), blocked[1]
    used = {operand for part in parts for operand in part.operands()}
    return Program(tuple(parts), tuple((name, type) for name, type in temporaries.items() if name in used))


def _between_blocks(program: Program) -> Program:
    """``program`` with neighbouring nests joined as far as what they hand on is theirs alone."""
    parts: list[Part] = []
    temporaries = dict(program.temporaries)
    for is_nest, group in groupby(enumerate(program.parts), lambda numbered: isinstance(numbered[1], Nest)):
        places, run = zip(*group, strict=True)
        if not is_nest:
            parts += run
            continue
        others = {name for place, part in enumerate(program.parts) if place not in places for name in part.operands()}
        own = {name: temporaries.pop(name) for name in set(temporaries) - others}
        joined = fused(Program(run, tuple(sorted(own.items()))))
        parts += joined.parts
        temporaries |= dict(joined.temporaries)
    return Program(tuple(parts), tuple(temporaries.items()))


def with_names(part: Part, names: Mapping[str, str]) -> Part:
    """``part`` on operands called otherwise."""
    if isinstance(part, Together):
        return replace(part, parts=tuple(with_names(inner, names) for inner in part.parts))

    def change(part: Expr) -> Expr | None:
        return replace(part, operand=names[part.operand]) if isinstance(part, Load) and part.operand in names else None

    stores = (Store(names.get(s.operand, s.operand), s.offset, transform(s.value, change)) for s in part.stores)
    return replace(part, stores=tuple(stores))


def _pair(nests: Sequence[Nest], name: str) -> tuple[int, int] | None:
    """Places of the only nest that stores ``name`` and the only one that loads it, if they are neighbours' kin."""
    writers = [place for place, nest in enumerate(nests) if any(store.operand == name for store in nest.stores)]
    readers = [place for place, nest in enumerate(nests) if name in nest.loaded()]
    if len(writers) != 1 or len(readers) != 1 or readers[0] <= writers[0] or len(nests[writers[0]].stores) != 1:
        return None
    return writers[0], readers[0]


def _inlined(nests: list[Nest], name: str) -> list[Nest]:
    """The nest that stores ``name`` put into the one that loads it, where the points are the same."""
    pair = _pair(nests, name)
    if pair is None:
        return nests
    writer, reader = (nests[place] for place in pair)
    joined = _into_reader(writer, reader, name)
    if joined is None:
        return nests
    return [joined if place == pair[1] else nest for place, nest in enumerate(nests) if place != pair[0]]


def _into_reader(writer: Nest, reader: Nest, name: str) -> Nest | None:
    """``reader`` with every load of ``name`` replaced by what ``writer`` stores there."""
    (store,) = writer.stores
    aligned = _aligned(writer, reader) or _flattened(writer, reader)
    if aligned is None:
        return None
    loads = [part for part in aligned.parts() if isinstance(part, Load) and part.operand == name]
    inside = {part for r in aligned.parts() if isinstance(r, Reduce) for part in _loads_of(r, name)}
    place = store.offset.without(_ones(writer))
    if inside or any(load.offset.without(_ones(writer)) != place for load in loads):
        return None
    # What is read several times is written out as often.
    if sum(1 for _ in walk(store.value)) * len(loads) > MOST_PARTS:
        return None

    def change(part: Expr) -> Expr | None:
        return store.value if isinstance(part, Load) and part.operand == name else None

    stores = tuple(replace(each, value=transform(each.value, change)) for each in aligned.stores)
    return Nest(writer.axes, (*writer.reduced, *aligned.reduced), stores)


def _loads_of(reduction: Reduce, name: str) -> set[Expr]:
    found: set[Expr] = set()

    def collect(part: Expr) -> Expr | None:
        if isinstance(part, Load) and part.operand == name:
            found.add(part)
        return None

    transform(reduction.body, collect)
    return found


def _aligned(writer: Nest, reader: Nest) -> Nest | None:
    """``reader`` with its axes called as the writer's, where they are as long, in order; the reduced ones apart."""
    longer = [[axis for axis in nest.axes if axis.extent > 1] for nest in (writer, reader)]
    if [axis.extent for axis in longer[0]] != [axis.extent for axis in longer[1]]:
        return None
    names = {theirs.name: ours.name for ours, theirs in zip(*longer, strict=True)}
    ones, taken = _ones(reader), {axis.name for axis in (*writer.axes, *writer.reduced)}
    renamed = _with_axes(reader.moved(lambda offset: offset.without(ones)), {**names, **_apart(reader.reduced, taken)})
    return replace(renamed, axes=writer.axes)


def _ones(nest: Nest) -> set[str]:
    """The loops of one turn, which no index needs."""
    return {axis.name for axis in nest.axes if axis.extent == 1}


def _apart(axes: Sequence[Axis], taken: set[str]) -> dict[str, str]:
    """Names for these axes that are not taken."""
    names = dict[str, str]()
    for axis in axes:
        name = axis.name
        while name in taken | set(names.values()):
            name += axis.name
        names[axis.name] = name
    return names


def _flattened(writer: Nest, reader: Nest) -> Nest | None:
    """``reader``, if it is one run over memory, at the points of ``writer``."""
    flat = simplified(reader)
    if len(flat.axes) != 1 or flat.reduced or flat.points != writer.points:
        return None
    (axis,) = flat.axes
    if any(offset.coefficient(axis.name) not in (0, 1) for offset in flat.offsets()):
        return None
    if any(isinstance(part, Index) for part in flat.parts()):
        return None
    (store,) = writer.stores
    moved = flat.moved(lambda offset: offset.substituted({axis.name: store.offset}))
    return replace(moved, axes=writer.axes)


def _with_axes(nest: Nest, names: Mapping[str, str]) -> Nest:
    """``nest`` with axes called otherwise, in reductions too."""

    def change(part: Expr) -> Expr | None:
        if isinstance(part, Load | Index):
            return replace(part, offset=part.offset.renamed(names))
        if isinstance(part, Reduce):
            axes = tuple(names.get(axis, axis) for axis in part.axes)
            return replace(part, axes=axes, body=transform(part.body, change))
        return None

    stores = (Store(s.operand, s.offset.renamed(names), transform(s.value, change)) for s in nest.stores)
    axes, reduced = (
        tuple(replace(a, name=names.get(a.name, a.name)) for a in group) for group in (nest.axes, nest.reduced)
    )
    return Nest(axes, reduced, tuple(stores))


def _row_by_row(parts: list[Nest | Together], name: str, temporaries: dict[str, TensorType]) -> list[Nest | Together]:
    """A convolution and the pooling of its rows in one loop over the pooling's rows, with a buffer of those only.

    Only for windows that share no rows: nothing is computed twice.
    """
    if not all(isinstance(part, Nest) for part in parts):
        return parts
    nests = [part for part in parts if isinstance(part, Nest)]
    pair = _pair(nests, name)
    if pair is None or pair[1] != pair[0] + 1 or len(temporaries[name].shape) != 4:
        return parts
    writer, reader = (nests[place] for place in pair)
    joined = _rows(writer, reader, name, temporaries)
    return parts if joined is None else [*parts[: pair[0]], joined, *parts[pair[1] + 1 :]]


def _rows(writer: Nest, reader: Nest, name: str, temporaries: dict[str, TensorType]) -> Together | None:
    channels, height, width, batch = temporaries[name].shape
    row, plane = width * batch, height * width * batch
    (store,) = writer.stores
    ours = [axis for axis in writer.axes if store.offset.coefficient(axis.name) == row and axis.extent == height]
    loads = [part for part in reader.parts() if isinstance(part, Load) and part.operand == name]
    found = _outer_row(reader, loads, row, plane)
    if len(ours) != 1 or found is None:
        return None
    # The shared loop has a name that no other loop has.
    taken = {axis.name for nest in (writer, reader) for axis in (*nest.axes, *nest.reduced)}
    outer = replace(found, name=next(each for each in ("row", "row_", "row__") if each not in taken))
    reader = _with_axes(reader, {found.name: outer.name})
    loads = [part for part in reader.parts() if isinstance(part, Load) and part.operand == name]
    step = loads[0].offset.coefficient(outer.name) // row
    seen = 1 + sum(
        (axis.extent - 1) * loads[0].offset.coefficient(axis.name) // row
        for axis in reader.reduced
        if loads[0].offset.coefficient(axis.name) % row == 0 and loads[0].offset.coefficient(axis.name) < plane
    )
    if seen > step or step * (outer.extent - 1) + seen > height:
        return None
    few = _few_rows(writer, name, ours[0], outer, step, seen, plane, row)
    one = _one_row(reader, name, outer, plane, seen * row)
    places = [(few, store.offset), *((one, load.offset.without([outer.name])) for load in loads)]
    if not all(_fits(nest, offset, plane, seen * row) for nest, offset in places):
        return None
    temporaries[name] = temporaries[name].with_shape((channels, seen, width, batch))
    return Together(outer, (few, one))


def _fits(nest: Nest, offset: Affine, plane: int, room: int) -> bool:
    """Whether an index lies among the first ``room`` elements of its plane, whichever plane that is."""
    within = offset.without(name for name, number in offset.terms if number % plane == 0)
    reach = [(nest.extent(name) - 1) * number for name, number in within.terms]
    least, most = (within.const + sum(end(far, 0) for far in reach) for end in (min, max))
    return least >= 0 and most < room


def _outer_row(reader: Nest, loads: Sequence[Load], row: int, plane: int) -> Axis | None:
    """The one axis of the reader that goes from window to window down a plane, by the same rows in every load.

    None where more than one could be it, or none: sizes of 1 and strides larger than the plane leave that open.
    """
    found = []
    for axis in reader.axes:
        steps = {load.offset.coefficient(axis.name) for load in loads}
        if len(steps) == 1 and all(0 < step < plane and step % row == 0 for step in steps):
            found.append(axis)
    return found[0] if len(found) == 1 else None


def _few_rows(writer: Nest, name: str, rows: Axis, outer: Axis, step: int, seen: int, plane: int, row: int) -> Nest:
    """The writer, for the rows that one row of windows sees; they are stored at the buffer's beginning."""
    (store,) = writer.stores
    shift = {rows.name: variable(outer.name) * step + variable(rows.name)}
    moved = writer.moved(lambda offset: offset.substituted(shift))
    target = _in_buffer(store.offset, plane, seen * row)
    axes = tuple(replace(axis, extent=seen) if axis == rows else axis for axis in writer.axes)
    return Nest(axes, writer.reduced, (replace(moved.stores[0], operand=name, offset=target),))


def _one_row(reader: Nest, name: str, outer: Axis, plane: int, buffer_plane: int) -> Nest:
    """The reader without its loop over rows, reading the buffer."""

    def change(part: Expr) -> Expr | None:
        if isinstance(part, Load) and part.operand == name:
            return replace(part, offset=_in_buffer(part.offset.without([outer.name]), plane, buffer_plane))
        return None

    stores = (replace(store, value=transform(store.value, change)) for store in reader.stores)
    return Nest(tuple(axis for axis in reader.axes if axis != outer), reader.reduced, tuple(stores))


def _in_buffer(offset: Affine, plane: int, buffer_plane: int) -> Affine:
    """The same place in planes of fewer rows."""
    terms = {name: number // plane * buffer_plane if number % plane == 0 else number for name, number in offset.terms}
    return Affine.of(terms, offset.const)
