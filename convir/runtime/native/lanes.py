"""All tiles of a batch in one call of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain as joined
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from convir.runtime.kernels import Array
from convir.runtime.lanes import Copy, Row
from convir.runtime.native import chain
from convir.runtime.native.crew import run_lanes
from convir.runtime.native.entries import address_of, entries
from convir.runtime.native.places import spared

if TYPE_CHECKING:
    from convir.runtime.native.kernels import NativeStep

#: Bytes of an address.
WORD = np.dtype(np.intp).itemsize


class NativeLanes:
    """Tables of what each lane does with a tile; see :mod:`convir.runtime.native.chain` for their columns.

    Args:
        rows: for each lane, its rows; every step of them is compiled.
        run: what runs the jobs of the lanes, see :meth:`convir.runtime.native.crew.Crew.run`.
    """

    def __init__(self, rows: Sequence[Sequence[Row]], run: Callable[[Sequence[int]], None] = run_lanes) -> None:
        self._run = run
        self._keep: list[object] = list(rows)
        self._counter = np.zeros(1, np.intp)
        first = rows[0][0]
        self._kinds = [copy.array.dtype for copy in first.incoming]
        self._incoming = len(first.incoming)
        self._bases = np.zeros(self._incoming + len(first.outgoing), np.intp)
        self._tiles = rows[0][-1].first + rows[0][-1].count
        self._jobs = [self._job(lane) for lane in rows]

    def run(self, arrays: Sequence[Array]) -> None:
        """Run every tile once, between these arrays of the caller; operands that are not contiguous are copied."""
        operands, results = arrays[: self._incoming], arrays[self._incoming :]
        held = [_readable(array, kind) for array, kind in zip(operands, self._kinds, strict=True)]
        held += results
        for slot, array in enumerate(held):
            self._bases[slot] = address_of(array)
        self._counter[0] = 0
        self._run(self._jobs)

    def _job(self, rows: Sequence[Row]) -> int:
        table = self._table([self._row(row) for row in rows])
        job = np.zeros(chain.JOB_COLUMNS, np.intp)
        job[chain.COUNTER], job[chain.TILES] = self._counter.ctypes.data, self._tiles
        job[chain.BASES], job[chain.ROWS], job[chain.TABLE] = self._bases.ctypes.data, len(rows), table
        return self._table([job])

    def _row(self, row: Row) -> Array:
        steps = cast("Sequence[NativeStep]", row.steps)
        direct = spared(row, steps)
        # Copies: a profile runs the steps between the arrays that they were bound to.
        tables = [self._table([step.addresses]) for step in steps]
        incoming = [self._copy(copy, into_tile=True) for copy in row.incoming if copy not in direct]
        outgoing = [self._copy(copy, into_tile=False) for copy in row.outgoing if copy not in direct]
        program = [(entries().copy, where) for where, _ in incoming]
        program += [(step.code.address, table) for step, table in zip(steps, tables, strict=True)]
        program += [(entries().copy, where) for where, _ in outgoing]
        self._keep += [step.code for step in steps]
        patches = [patch for _, patch in joined(incoming, outgoing)]
        for copy, words in direct.items():
            patches += [(tables[step] + WORD * column, copy.slot, copy.stride) for step, column in words]
        made = np.zeros(chain.ROW_COLUMNS, np.intp)
        made[chain.STEPS], made[chain.PROGRAM] = len(program), self._table(program)
        made[chain.PATCHES], made[chain.PATCH_TABLE] = len(patches), self._table(patches)
        made[chain.FIRST], made[chain.COUNT] = row.first, row.count
        return made

    def _copy(self, copy: Copy, into_tile: bool) -> tuple[int, tuple[int, int, int]]:
        """The addresses of a copying step, and the patch that makes one of them the caller's."""
        here = copy.array.ctypes.data
        where = self._table([(0, here, copy.array.nbytes) if into_tile else (here, 0, copy.array.nbytes)])
        return where, (where if into_tile else where + WORD, copy.slot, copy.stride)

    def _table(self, rows: Sequence[Sequence[int] | Array]) -> int:
        """These numbers in memory that stays; returns its address."""
        made = np.array(rows, np.intp)
        self._keep.append(made)
        return int(made.ctypes.data)


def _readable(array: Array, kind: np.dtype[Any]) -> Array:
    """``array`` as compiled steps read it."""
    held = np.ascontiguousarray(array, kind)
    return held if held.flags.aligned else held.copy()
