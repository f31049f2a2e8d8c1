"""The poolings that every way of computing them has to get right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convir.ir.ops import AvgPool2d, MaxPool2d, PoolOp

Pair = tuple[int, int]


@dataclass(frozen=True)
class PoolCase:
    """One pooling: its window, and what only max or average pooling has."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        window = {"kernel_size": self.kernel, "stride": self.stride, "padding": self.padding}
        return {**window, "ceil_mode": self.ceil_mode, **self.more}

    def op(self, cls: type[PoolOp]) -> PoolOp:
        return cls(**self.options)


#: Windows that both kinds take.
_SHARED = {
    "2x2": PoolCase((4, 6), (2, 2), (2, 2)),
    "rows left over": PoolCase((5, 7), (2, 2), (2, 2)),
    "overlapping": PoolCase((5, 6), (3, 3), (2, 1)),
    "stride over the kernel": PoolCase((7, 8), (2, 1), (3, 4)),
    "not square": PoolCase((5, 4), (3, 1), (1, 3)),
    "kernel is the input": PoolCase((3, 4), (3, 4), (1, 1)),
    "1x1": PoolCase((3, 3), (1, 1), (1, 1)),
    "1x1 with stride": PoolCase((4, 5), (1, 1), (2, 2)),
    "padding": PoolCase((4, 5), (3, 3), (2, 2), (1, 1)),
    "half the window is padding": PoolCase((2, 3), (4, 2), (2, 2), (2, 1)),
    "padding on one side": PoolCase((4, 4), (2, 3), (2, 2), (0, 1)),
    "ceil_mode": PoolCase((5, 6), (2, 2), (2, 2), ceil_mode=True),
    "ceil_mode, overlapping": PoolCase((6, 7), (3, 3), (2, 2), ceil_mode=True),
    "ceil_mode, padding": PoolCase((5, 6), (3, 2), (2, 3), (1, 1), ceil_mode=True),
    "ceil_mode, one window over the edge": PoolCase((2, 3), (3, 4), (2, 2), ceil_mode=True),
    "ceil_mode, last window would be all padding": PoolCase((4, 4), (2, 2), (3, 3), (1, 1), ceil_mode=True),
}
MAX_CASES = {
    **_SHARED,
    "dilation": PoolCase((6, 7), (2, 3), (1, 2), more={"dilation": (3, 2)}),
    "dilation, padding": PoolCase((5, 5), (2, 2), (2, 1), (1, 1), more={"dilation": (2, 3)}),
    "dilation, ceil_mode": PoolCase((6, 6), (2, 2), (2, 2), ceil_mode=True, more={"dilation": (2, 2)}),
}
AVG_CASES = {
    **_SHARED,
    "padding not counted": PoolCase((4, 5), (3, 3), (2, 2), (1, 1), more={"count_include_pad": False}),
    "padding not counted, ceil_mode": PoolCase((5, 6), (3, 2), (2, 3), (1, 1), True, {"count_include_pad": False}),
    "divisor": PoolCase((4, 5), (2, 2), (2, 2), more={"divisor_override": 3}),
    "negative divisor": PoolCase((4, 5), (3, 3), (1, 1), (1, 1), more={"divisor_override": -2}),
    "divisor, padding": PoolCase((4, 5), (3, 3), (2, 2), (1, 1), True, {"divisor_override": 5}),
}
CASES = [(MaxPool2d, name, case) for name, case in MAX_CASES.items()]
CASES += [(AvgPool2d, name, case) for name, case in AVG_CASES.items()]


def images(case: PoolCase, dtype: str) -> dict[str, np.ndarray]:
    """Images for a case: random, with many ties, all equal, negative."""
    rng = np.random.default_rng(3)
    shape = (2, 3, *case.size)
    drawn = {
        "random": rng.standard_normal(shape),
        "ties": rng.integers(0, 2, shape),
        "equal": np.ones(shape),
        "negative": -1 - rng.random(shape),
    }
    return {name: np.array(image, dtype) for name, image in drawn.items()}
