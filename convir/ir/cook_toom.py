"""The matrices of Winograd's minimal filtering, from interpolation points.

F(m, r) computes m outputs of an r-tap correlation, ``y_i = sum_k d_{i+k} g_k``, with ``m + r - 1``
multiplications instead of ``m * r``: ``y = A^T ((G g) * (B^T d))``. It is the transpose of Toom and Cook's
multiplication of polynomials: evaluate both at ``m + r - 2`` points and at infinity, multiply, interpolate.
Sources: Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray, *Fast Algorithms for
Convolutional Neural Networks*, CVPR 2016; for how rounding depends on the points, Barabasz, Anderson,
Soodhalter and Gregg, *Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
Networks*, ACM TOMS 2020, from whose tables the order of the points is.

With a stride or an upsampled input the correlation is a sum, or a list, of correlations without either: those of the
polyphase components of inputs, taps and outputs (Vaidyanathan, *Multirate Systems and Filter Banks*, 1993, section
4.3). Each has its F(m, r), and their matrices are blocks of one (for stride 2: Yepez and Ko, *Stride 2 1-D, 2-D,
and 3-D Winograd for Convolutional Neural Networks*, IEEE TVLSI 2020). F(4, 3) with stride 2 is F(4, 2) and F(4, 1): 9
multiplications instead of 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from convir.ir.errors import ShapeError

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]

#: Interpolation points, the first for the smallest transforms; small numbers and their negatives round least.
POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "1/4", "-1/4")))


@dataclass(frozen=True)
class CookToom:
    """The matrices of F(m, r), exact, with ``a`` products for ``n`` inputs; without a stride ``a = n = m + r - 1``.

    Attributes:
        output: (m, a), A^T: products to outputs.
        weight: (a, r), G: taps to factors.
        input: (a, n), B^T: inputs to factors; its numbers are integers where the points are.
    """

    output: Matrix
    weight: Matrix
    input: Matrix

    @property
    def places(self) -> int:
        """How many products there are."""
        return len(self.input)

    @property
    def window(self) -> int:
        """How many inputs there are."""
        return len(self.input[0])


class _Phase(NamedTuple):
    """A correlation of polyphase components: which outputs, taps and inputs it is of."""

    outputs: range
    taps: range
    inputs: range


@cache
def cook_toom(outputs: int, taps: int, stride: int = 1, upsampling: int = 1, phase: int = 0) -> CookToom:
    """The matrices of F(``outputs``, ``taps``): ``y_i = sum_k u[stride*i + k - phase] g_k``.

    ``u`` are the inputs with ``upsampling - 1`` zeros behind each, ``u[upsampling*j] = d_j``.

    Raises:
        ShapeError: fewer than one output or tap, more points needed than there are good ones, a stride of upsampled
            inputs, a tile that does not hold as many outputs of each phase, or a phase out of range.
    """
    if min(outputs, taps, stride, upsampling) < 1:
        raise ShapeError(
            f"F({outputs}, {taps}) needs at least 1 output and 1 tap, a stride and an upsampling of at least 1, "
            f"got {stride} and {upsampling}"
        )
    if stride > 1 and upsampling > 1:
        raise ShapeError(f"stride {stride} and upsampling {upsampling} do not go together; one has to be 1")
    if outputs % upsampling or not 0 <= phase < upsampling:
        raise ShapeError(
            f"upsampling by {upsampling} needs tiles of a multiple of {upsampling} outputs and a phase "
            f"below {upsampling}, got {outputs} outputs and phase {phase}"
        )
    phases = _strided(outputs, taps, stride) if stride > 1 else _upsampled(outputs, taps, upsampling, phase)
    return _blocks(outputs, taps, phases)


def _strided(outputs: int, taps: int, stride: int) -> list[_Phase]:
    """One correlation for each remainder of the taps; they add up to the outputs."""
    return [
        _Phase(range(outputs), range(p, taps, stride), range(p, taps + stride * (outputs - 1), stride))
        for p in range(min(stride, taps))
    ]


def _upsampled(outputs: int, taps: int, upsampling: int, phase: int) -> list[_Phase]:
    """One correlation for each remainder of the outputs that sees a tap."""
    found = []
    for p in range(upsampling):
        own = range(p, outputs, upsampling)
        seen = range((phase - p) % upsampling, taps, upsampling)
        first = (p + seen.start - phase) // upsampling
        if seen:
            found.append(_Phase(own, seen, range(first, first + len(own) + len(seen) - 1)))
    return found


def _blocks(outputs: int, taps: int, phases: Sequence[_Phase]) -> CookToom:
    """The matrices of all ``phases``, each in its rows and columns of zeros."""
    window = max(each.inputs[-1] + 1 for each in phases)
    columns: list[Row] = []
    weight: list[Row] = []
    input: list[Row] = []
    for each in phases:
        own = _minimal(len(each.outputs), len(each.taps))
        columns += [_spread(row, each.outputs, outputs) for row in zip(*own.output, strict=True)]
        weight += [_spread(row, each.taps, taps) for row in own.weight]
        input += [_spread(row, each.inputs, window) for row in own.input]
    return CookToom(tuple(zip(*columns, strict=True)), tuple(weight), tuple(input))


def _spread(row: Row, places: range, length: int) -> Row:
    """The numbers of ``row`` at ``places``, and zeros."""
    found = [Fraction(0)] * length
    found[places.start : places.stop : places.step] = row
    return tuple(found)


def _minimal(outputs: int, taps: int) -> CookToom:
    """F(``outputs``, ``taps``) by interpolation.

    With the points p_i and N_i(x) the product of all (x - p_j) but the i-th, row i of B^T has the coefficients of
    N_i, row i of G the powers of p_i over N_i(p_i), and column i of A^T the powers of p_i; the last of each stands
    for infinity. One tap multiplies every input: there is nothing to interpolate.
    """
    if taps == 1:
        same = tuple(_spread((Fraction(1),), range(i, i + 1), outputs) for i in range(outputs))
        return CookToom(same, ((Fraction(1),),) * outputs, same)
    count = outputs + taps - 2
    if count > len(POINTS):
        raise ShapeError(
            f"F({outputs}, {taps}) needs {count} interpolation points, and there are {len(POINTS)} good ones; "
            f"take a smaller tile or kernel"
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
