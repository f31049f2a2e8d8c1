"""Copies that need not be made: which steps could as well read or write the caller's own array.

A step finds its arrays by a table of addresses. The steps before a value's memory is used for something else can be
given another address in its place, tile by tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convir.runtime.lanes import Copy, Row
from convir.runtime.native.entries import address_of

if TYPE_CHECKING:
    from convir.runtime.native.kernels import NativeStep

#: A place in the tables of addresses: which step, which of its operands, results and temporaries.
Word = tuple[int, int]


def spared(row: Row, steps: Sequence[NativeStep]) -> dict[Copy, list[Word]]:
    """The copies of ``row`` that need not be made, each with the words that are to hold the caller's address.

    Not spared are arrays that somebody looks at later, that two copies share, that a step's guard reads, and that no
    step of the row writes.
    """
    found: dict[Copy, list[Word]] = {}
    needed = {address_of(array) for step in steps if step.guard is not None for array in step.arrays}
    for copies, words in ((row.outgoing, _written), (row.incoming, _read)):
        addresses = [address_of(copy.array) for copy in copies]
        for copy, address in zip(copies, addresses, strict=True):
            if copy.lasting or address in needed or addresses.count(address) > 1:
                continue
            if places := words(address, steps):
                found[copy] = places
        # What is copied out after all may be what was copied in.
        needed |= {address for copy, address in zip(copies, addresses, strict=True) if copy not in found}
    return found


def _read(address: int, steps: Sequence[NativeStep]) -> list[Word]:
    """Operands that lie at ``address`` before a step writes there."""
    words: list[Word] = []
    for index, step in enumerate(steps):
        operands = len(step.node.inputs)
        places = _columns(step, address)
        words += [(index, column) for column in places if column < operands]
        if any(column >= operands for column in places):
            break
    return words


def _written(address: int, steps: Sequence[NativeStep]) -> list[Word]:
    """The last result that is written to ``address``, and the operands that are read there after it."""
    words: list[Word] = []
    for index, step in reversed(list(enumerate(steps))):
        operands = len(step.node.inputs)
        for column in _columns(step, address):
            words.append((index, column))
            if column >= operands:
                return words
    return []


def _columns(step: NativeStep, address: int) -> list[int]:
    return [column for column, place in enumerate(step.addresses.tolist()) if place == address]
