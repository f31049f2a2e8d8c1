"""Machines that there are not, for predictions that can be recomputed by hand."""

from __future__ import annotations

from convir.selection.figures import COLUMNS, COPIES, INNER, ROWS, Figures

#: A machine of round numbers: every product at 50 GFLOP/s, every copy at 10 GB/s.
ROUND = Figures(
    product_gflops=tuple(tuple(tuple(50.0 for _ in COLUMNS) for _ in INNER) for _ in ROWS),
    copy_gbytes=tuple(10.0 for _ in COPIES),
    loop_seconds=1e-8,
    element_seconds=1e-9,
    wide_seconds=4e-9,
    call_seconds=1e-6,
    cycle_seconds=1e-9,
)
