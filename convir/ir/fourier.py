"""Fourier transforms of one axis in two steps, and the sizes that suit them.

Cooley and Tukey, *An Algorithm for the Machine Calculation of Complex Fourier Series*, 1965: with ``n = a*b`` the
samples ``a*j2 + j1`` of each j1 are transformed by themselves, to b frequencies ``f2``, and these are combined, for
each ``f2``, to the a frequencies ``f2 + b*f1``. Both steps are small matrix products over all lines at once, with the
twiddle factors in the second's matrices: ``n*(a+b)`` multiplications, not ``n*n``. More steps would be fewer
multiplications still, in products too small for BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

#: Multiplications for each frequency of a plane in the products with weights that sizes are weighed against: those of
#: some 64 channels and filters. Frequencies that are not needed take these too.
_PRODUCTS = 32

#: How many times as fast one large product multiplies as two small ones, which go over memory twice (measured with
#: OpenBLAS: 2.2 to 2.8).
_LARGE = 3


@dataclass(frozen=True)
class FourierAxis:
    """A circular axis of ``size`` positions, of which some have samples.

    Attributes:
        size: positions, and frequencies.
        real: whether samples are real; then of a frequency and its conjugate one is kept, unless their ``f2`` is one.
        samples: how many samples there are.
        start: position of the first, modulo the size.
        step: positions from a sample to the next.
    """

    size: int
    real: bool
    samples: int = 1
    start: int = 0
    step: int = 1

    @property
    def factors(self) -> tuple[int, int]:
        """a and b."""
        return _factors(self.size, self.real)

    @property
    def kept(self) -> int:
        """How many ``f2`` are kept, with all their ``f1``."""
        return _kept(self.factors[1], self.real)

    @property
    def frequencies(self) -> tuple[int, ...]:
        """Those that are kept, in order: by ``f2``, then by ``f1``."""
        a, b = self.factors
        return tuple(f2 + b * f1 for f2 in range(self.kept) for f1 in range(a))

    @property
    def splits(self) -> bool:
        """Whether two steps are worth it for so many samples."""
        return _LARGE * self._two_steps < self._one_step

    @property
    def macs(self) -> int:
        """Real multiply-accumulates of the transform of one line."""
        return self._two_steps if self.splits else self._one_step

    @property
    def _one_step(self) -> int:
        return (2 if self.real else 4) * self.kept * self.factors[0] * self.samples

    @property
    def _two_steps(self) -> int:
        a = self.factors[0]
        return self.kept * ((2 if self.real else 4) * self.samples + 4 * a * a)


@lru_cache(maxsize=1024)
def fast_size(least: int, real: bool) -> int:
    """The size of at least ``least`` whose frequencies take the least work."""
    return min(range(least, least + least // 4 + 1), key=lambda size: _work(size, *_factors(size, real), real))


@lru_cache(maxsize=1024)
def _factors(size: int, real: bool) -> tuple[int, int]:
    """The factors with which a full axis takes the least work; 1 and the size where one step is best."""
    a = min(_divisors(size), key=lambda a: _work(size, a, size // a, real))
    return a, size // a


def _divisors(size: int) -> list[int]:
    """In ascending order. Up to the root only every number is tried: a large image has thousands of sizes to weigh."""
    small = [a for a in range(1, isqrt(size) + 1) if size % a == 0]
    return sorted({*small, *(size // a for a in small)})


def _work(size: int, a: int, b: int, real: bool) -> int:
    """Real multiplications for a line of a plane, in the time that a large product takes for one."""
    part, kept = (2 if real else 4), _kept(b, real)
    steps = part * kept * size if a == 1 else _LARGE * kept * (part * size + 4 * a * a)
    return steps + 4 * _PRODUCTS * kept * a


def _kept(b: int, real: bool) -> int:
    return b // 2 + 1 if real else b
