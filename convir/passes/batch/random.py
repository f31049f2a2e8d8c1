"""Ops that draw random numbers do not run in tiles."""

from __future__ import annotations

from convir.ir.ops import DropoutMask
from convir.passes.batch.registry import not_tiled

not_tiled("it draws from one generator, so tiles would change what is drawn", DropoutMask)
