"""Regions are made when everything has been differentiated."""

from __future__ import annotations

from convir.ir.ops import Region
from convir.passes.grad.registry import not_differentiable

not_differentiable("differentiate the model before its ops are fused into regions", Region)
