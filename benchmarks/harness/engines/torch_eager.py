"""PyTorch, op by op."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines import Program
from harness.engines.torch_model import build_with, load

if TYPE_CHECKING:
    from harness.case import Case

__all__ = ["build", "load"]


def build(case: Case) -> Program:
    return build_with(case, lambda function: function)
