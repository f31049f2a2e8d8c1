"""PyTorch with torch.compile: Inductor, its default mode, shapes fixed; it needs a C++ compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines import Program
from harness.engines.torch_model import build_with, load

if TYPE_CHECKING:
    from harness.case import Case

__all__ = ["build", "load"]


def build(case: Case) -> Program:
    import torch

    return build_with(case, lambda function: torch.compile(function, dynamic=False))
