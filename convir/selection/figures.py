"""What a machine can do: the few figures that predictions of time are made from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sizes of matrix products (m, k) @ (k, n) whose rate is measured; between them it is interpolated, beyond them kept.
ROWS, INNER, COLUMNS = (4, 16, 64, 256), (2, 8, 32, 128, 512), (4, 32, 256, 2048)

#: Bytes read and written by the copies whose rate is measured: first cache, second, third, memory.
COPIES = (2**14, 2**17, 2**20, 2**22, 2**24, 2**26, 2**27)


@dataclass(frozen=True)
class Figures:
    """Rates of one machine, for one backend, number of threads and element type.

    Attributes:
        product_gflops: 10^9 FLOPs a second of matrix products, by :data:`ROWS`, :data:`INNER` and :data:`COLUMNS`.
        copy_gbytes: 10^9 bytes a second, read and written, of copies of so many bytes, by :data:`COPIES`.
        loop_seconds: starting one more innermost loop of a copy.
        element_seconds: an element, of up to 16 bytes, of a copy whose elements do not lie one after the other.
        wide_seconds: the same of a larger element.
        call_seconds: calling NumPy.
        cycle_seconds: a cycle of the model that schedules compiled loops; None for a backend that compiles none.
    """

    product_gflops: tuple[tuple[tuple[float, ...], ...], ...]
    copy_gbytes: tuple[float, ...]
    loop_seconds: float
    element_seconds: float
    wide_seconds: float
    call_seconds: float
    cycle_seconds: float | None = None

    @cached_property
    def _rates(self) -> NDArray[np.float64]:
        rates: NDArray[np.float64] = np.log(np.array(self.product_gflops))
        return rates

    def gflops(self, m: int, k: int, n: int) -> float:
        """Rate of the products (m, k) @ (k, n): linear between the measured ones, on logarithmic scales."""
        rates = self._rates
        for size, sizes in ((m, ROWS), (k, INNER), (n, COLUMNS)):
            low, share = _between(size, sizes)
            rates = rates[low] if share == 0 else (1 - share) * rates[low] + share * rates[low + 1]
        return exp(float(rates))

    def gbytes(self, nbytes: int) -> float:
        """Rate of copies of so many bytes."""
        low, share = _between(nbytes, COPIES)
        rates = [log(rate) for rate in self.copy_gbytes]
        return exp(rates[low] if share == 0 else (1 - share) * rates[low] + share * rates[low + 1])

    @property
    def peak_gflops(self) -> float:
        """The best rate of all products that were measured."""
        return float(np.max(self.product_gflops))

    def to_json(self) -> dict[str, Any]:
        """All attributes."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Figures:
        """What :meth:`to_json` was made of; raises KeyError, TypeError or ValueError for anything else."""
        rates = np.array(data["product_gflops"], float)
        copies = np.array(data["copy_gbytes"], float)
        if rates.shape != (len(ROWS), len(INNER), len(COLUMNS)) or copies.shape != (len(COPIES),):
            raise ValueError(f"rates of {rates.shape} products and {copies.shape} copies")
        seconds = {name: data[name] for name in ("loop_seconds", "element_seconds", "wide_seconds", "call_seconds")}
        cycle = data["cycle_seconds"]
        numbers = [*rates.flat, *copies, *seconds.values(), *([] if cycle is None else [cycle])]
        if not all(isinstance(number, int | float) and 0 < number < float("inf") for number in numbers):
            raise ValueError("a rate that is not a positive number")
        return Figures(
            tuple(tuple(map(tuple, plane)) for plane in rates.tolist()),
            tuple(copies.tolist()),
            **seconds,
            cycle_seconds=cycle,
        )


def _between(size: int, sizes: Sequence[int]) -> tuple[int, float]:
    """Index of the measured size below, and how far towards the next one on a logarithmic scale."""
    if size <= sizes[0]:
        return 0, 0.0
    if size >= sizes[-1]:
        return len(sizes) - 1, 0.0
    low = bisect_right(sizes, size) - 1
    return low, log(size / sizes[low]) / log(sizes[low + 1] / sizes[low])
