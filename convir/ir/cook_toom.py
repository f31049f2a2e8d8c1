"""The matrices of Winograd's minimal filtering, from interpolation points.

F(m, r) computes m outputs of an r-tap correlation, ``y_i = sum_k d_{i+k} g_k``, with ``m + r - 1``
multiplications instead of ``m * r``: ``y = A^T ((G g) * (B^T d))``. It is the transpose of Toom and Cook's
multiplication of polynomials: evaluate both at ``m + r - 2`` points and at infinity, multiply, interpolate.
Sources: Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray, *Fast Algorithms for
Convolutional Neural Networks*, CVPR 2016; for how rounding depends on the points, Barabasz, Anderson,
Soodhalter and Gregg, *Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
Networks*, ACM TOMS 2020, from whose tables the order of the points is.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from convir.ir.errors import ShapeError

Matrix = tuple[tuple[Fraction, ...], ...]

#: Interpolation points, the first for the smallest transforms; small numbers and their negatives round least.
POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "1/4", "-1/4")))


@dataclass(frozen=True)
class CookToom:
    """The matrices of F(m, r), exact, with ``a = m + r - 1`` products.

    Attributes:
        output: (m, a), A^T: products to outputs.
        weight: (a, r), G: taps to factors.
        input: (a, a), B^T: inputs to factors; its numbers are integers where the points are.
    """

    output: Matrix
    weight: Matrix
    input: Matrix


@cache
def cook_toom(outputs: int, taps: int) -> CookToom:
    """The matrices of F(``outputs``, ``taps``).

    With the points p_i and N_i(x) the product of all (x - p_j) but the i-th, row i of B^T has the coefficients of
    N_i, row i of G the powers of p_i over N_i(p_i), and column i of A^T the powers of p_i; the last of each stands
    for infinity.

    Raises:
        ShapeError: fewer than one output or tap, or more points needed than there are good ones.
    """
    count = outputs + taps - 2
    if outputs < 1 or taps < 1 or count > len(POINTS):
        raise ShapeError(
            f"F({outputs}, {taps}) needs at least 1 output and 1 tap, and together at most {len(POINTS) + 2}"
        )
    points = POINTS[:count]
    others = [tuple(q for q in points if q != p) for p in points]
    input_rows = [(*_expanded(rest), Fraction(0)) for rest in others] + [_expanded(points)]
    weight_rows = [
        tuple(p**k / _value(rest, p) for k in range(taps)) for p, rest in zip(points, others, strict=True)
    ] + [_last(taps)]
    columns = [tuple(p**i for i in range(outputs)) for p in points] + [_last(outputs)]
    return CookToom(tuple(zip(*columns, strict=True)), tuple(weight_rows), tuple(input_rows))


def _expanded(roots: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """Coefficients of the product of all ``x - root``, the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(-root * c for c in coefficients), Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return tuple(coefficients)


def _value(roots: tuple[Fraction, ...], x: Fraction) -> Fraction:
    """The product of all ``x - root``."""
    value = Fraction(1)
    for root in roots:
        value *= x - root
    return value


def _last(length: int) -> tuple[Fraction, ...]:
    """The value at infinity: the highest coefficient."""
    return (*(Fraction(0) for _ in range(length - 1)), Fraction(1))
