"""Batch roles of Winograd's transforms: after lowering, samples and tiles share an axis."""

from __future__ import annotations

from convir.ir.ops import WinogradInput, WinogradOutput, WinogradOutputGrad, WinogradWeight, WinogradWeightGrad
from convir.passes.batch.registry import not_tiled

not_tiled(
    "transformed tiles have samples and tiles along one axis; ask for the graph before it is lowered",
    *(WinogradInput, WinogradOutput, WinogradOutputGrad, WinogradWeight, WinogradWeightGrad),
)
