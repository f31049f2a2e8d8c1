"""convir with kernels compiled by Numba."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from harness.engines import Program, UnavailableError
from harness.engines.convir_numpy import build_with

if TYPE_CHECKING:
    from harness.case import Case


def load(threads: int) -> dict[str, str]:
    import numba
    import numpy as np

    import convir

    if "backend" not in inspect.signature(convir.compile).parameters:
        raise UnavailableError("this convir has no backend='numba'")
    return {"convir": convir.__version__, "numba": numba.__version__, "numpy": np.__version__}


def build(case: Case) -> Program:
    return build_with(case, backend="numba")
