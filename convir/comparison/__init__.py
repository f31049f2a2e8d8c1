"""Lowering strategies side by side: what the plan predicts, what the clock says, what it costs in digits."""

from convir.comparison.layer import compare_layer
from convir.comparison.models import compare
from convir.comparison.problem import conv_layer, conv_layers
from convir.comparison.report import Comparison, ComparisonRow, LeftOut, Roofline
from convir.comparison.settings import checked_lowerings
from convir.comparison.sweep_report import Sweep, SweepPoint
from convir.comparison.sweeps import sweep

__all__ = [
    "Comparison",
    "ComparisonRow",
    "LeftOut",
    "Roofline",
    "Sweep",
    "SweepPoint",
    "checked_lowerings",
    "compare",
    "compare_layer",
    "conv_layer",
    "conv_layers",
    "sweep",
]
