"""Regions are made for one size of batch."""

from __future__ import annotations

from convir.ir.ops import Region
from convir.passes.batch.registry import not_tiled

not_tiled("divide the batch before ops are fused into regions", Region)
