"""convir on NumPy, each convolution by the strategy that a model of the machine likes best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines import Program
from harness.engines.convir_numpy import build_with, load

if TYPE_CHECKING:
    from harness.case import Case

__all__ = ["build", "load"]


def build(case: Case) -> Program:
    return build_with(case, conv="auto")
