"""What rounding costs at most, derived: how far each element of a result lies from its exact value.

Every bound is a multiple of the part's scale, which follows from the operands alone, x the image, w the weight, dy the
cotangent of the result before its activation::

    conv2d              max|x|  * max over filters of sum|w|  + max|b|
    conv2d_grad_input   max|dy| * max over channels of sum|w|
    conv2d_grad_weight  max|x|  * max over filters of sum|dy|

so that ``|computed - exact| <= bound * scale`` for each element: no result can be larger than its scale. With u the
unit roundoff, every operation gives ``(a op b)(1 + d)``, ``|d| <= u``, and a product of n such factors is ``1 + t``
with ``|t| <= gamma(n) = n*u / (1 - n*u)`` (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, 2002,
section 2.2 and lemma 3.1). Additions of and products with zeros, products with powers of two and negations do not
round, and a fused multiply-add rounds once instead of twice. The bounds are for results before their activation (ReLU
makes no error larger; sigmoid and tanh round themselves), without overflow and underflow. They hold for every order of
adding, and are worst cases: rounding errors seldom all point the same way, and sums of n of them grow like the root
of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import inf, prod, sqrt

import numpy as np

from convir.ir.cook_toom import CookToom, Matrix
from convir.passes.cost.winograd import transposed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.parts import Parts

#: The unit roundoff of float64, in which constants are made.
DOUBLE = 2.0**-53


def unit_roundoff(dtype: str) -> float:
    """Half the distance from 1 to the next number: 2^-24 for float32, 2^-53 for float64."""
    return float(np.finfo(dtype).eps) / 2


def gamma(roundings: int, unit_roundoff: float) -> float:
    """``n*u / (1 - n*u)``; infinite where ``n*u`` reaches 1, and nothing is left to be said."""
    whole = roundings * unit_roundoff
    return whole / (1 - whole) if whole < 1 else inf


def summed(layer: ConvLayer, unit_roundoff: float) -> Parts[float]:
    """For strategies that add up the very products of the loop nest, in whatever order and blocks.

    A sum of n products rounds each product once and passes it through n - 1 additions at most, whatever the order:
    ``gamma(n) * sum|x||w|`` (Higham, section 3.1). The sum is at most the scale. n is ``C/groups*KH*KW``, and one more
    with a bias, which counts as the weight of an input of magnitude 1; ``O/groups*KH*KW`` for the image's gradient,
    ``N*OH*OW`` for the weight's.
    """
    seen = layer.weight.size // layer.weight.shape[1] // layer.op.groups
    lengths = layer.taps + layer.biased, seen, layer.positions
    return Parts(*(gamma(length, unit_roundoff) for length in lengths))


def bilinear(
    layer: ConvLayer, forward: tuple[CookToom, CookToom], backward: tuple[CookToom, CookToom], tiles: int,
    unit_roundoff: float,
) -> Parts[float]:  # fmt: skip
    """For Winograd's minimal filtering: ``Y = A^T [sum of (G w G^T) * (B^T x B)] A``.

    Computed, Y is the sum of the terms ``A_ip A_jq G_pk G_ql B_rp B_sq w_kl x_rs``, each times ``1 + t`` with
    ``|t| <= gamma(n)`` and n the roundings on its way. So, element by element, as in theorem 1 of Barabasz, Anderson,
    Soodhalter and Gregg, *Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks*,
    ACM TOMS 2020::

        |computed - exact| <= gamma(n) * |A^T| [sum of (|G||w||G^T|) * (|B^T||x||B|)] |A|
                           <= gamma(n) * amplification * max|x| * sum|w|

    where the second line takes the largest sum of each row of ``|B^T|`` for ``|B^T||x|``, and the worst place of the
    tile and the worst tap, see :func:`amplification`. The weight's gradient, ``G^T [sum of (A dy A^T) * (B^T x B)] G``,
    is made of the same terms, summed over the ``tiles`` of all images; that of the image is a convolution, of a
    cotangent that is upsampled by the stride. Nothing of this asks what the matrices are, as long as they are exact.

    n counts the roundings of all transforms, which a number passes through one side after the other or as one product
    with the Kronecker product of the two matrices, whichever has more of them, those of the constants themselves
    included; and the length of the sum between them.

    Args:
        layer: the problem.
        forward: the matrices along rows and along columns, of the result and of the weight's gradient.
        backward: those of the image's gradient.
        tiles: of all images, of the result.
        unit_roundoff: u.
    """
    adjoints = _passed(forward[0].input, forward[1].input) + sum(
        _passed(*(transposed(getattr(each, name)) for each in forward)) for name in ("weight", "output")
    )
    per_filter, per_channel = layer.weight.shape[1], layer.weight.shape[0] // layer.op.groups
    return Parts(
        _amplified(forward) * gamma(_transformed(forward) + per_filter + layer.biased, unit_roundoff),
        _amplified(backward) * gamma(_transformed(backward) + per_channel, unit_roundoff),
        _amplified(forward) * gamma(adjoints + tiles, unit_roundoff),
    )


def _amplified(matrices: tuple[CookToom, CookToom]) -> float:
    """Of rows and columns together."""
    return float(amplification(matrices[0]) * amplification(matrices[1]))


def _transformed(matrices: tuple[CookToom, CookToom]) -> int:
    """Roundings on the way of a number through all three transforms."""
    return sum(_passed(*(getattr(each, name) for each in matrices)) for name in ("weight", "input", "output"))


@cache
def amplification(matrices: CookToom) -> Fraction:
    """``max over i, k of sum over p of |A^T|_ip |G|_pk b_p`` with b_p the sum of row p of ``|B^T|``.

    How much larger the terms of one dimension of F(m, r) can be than those of the sum that it replaces: 4 for F(2, 3),
    and its square for tiles.
    """
    sums = [sum(map(abs, row), Fraction(0)) for row in matrices.input]
    return max(
        sum((abs(a) * abs(g[tap]) * b for a, g, b in zip(row, matrices.weight, sums, strict=True)), Fraction(0))
        for row in matrices.output
        for tap in range(len(matrices.weight[0]))
    )


@cache
def _passed(rows: Matrix, columns: Matrix) -> int:
    """Roundings on the way of a number through ``rows @ X @ columns^T``, in two steps or in one."""
    at_once = tuple(tuple(a * b for a in row for b in column) for row in rows for column in columns)
    return max(_roundings(rows) + _roundings(columns), _roundings(at_once))


def _roundings(matrix: Matrix) -> int:
    """Roundings on the way of a number through a product with ``matrix``: constant, product, additions.

    A constant is exact unless its denominator has another factor than 2. (One that is rounded to float64 and then to
    float32 is still within u: the nearest number is within u/(1+u).)
    """
    rows = [[number for number in row if number] for row in matrix]
    return max(len(row) - 1 + max(map(_of_factor, row), default=0) for row in rows)


def _of_factor(number: Fraction) -> int:
    """Roundings of a product with the constant ``number``, that of the constant included."""
    inexact = not _is_power_of_two(number.denominator)
    return inexact + (inexact or not _is_power_of_two(abs(number.numerator)))


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def fourier(
    image: Sequence[int], kernel: Sequence[int], inverse: Sequence[int], pixels: int, terms: int, unit_roundoff: float
) -> float:
    """For convolution by Fourier transforms, fast or not: ``y = F^-1 [sum of F(a) * F(b)]``, F over a plane.

    The bound is a multiple of ``max|a| * sum|b|``: a is the image (or for its gradient the cotangent) and b the weight;
    for the weight's gradient a is the image and b the cotangent. A bias is one term more.

    A transform is made of steps, each a matrix whose elements have modulus 1, or 0, and which is a unitary one but for
    a factor: that of p samples for a whole axis, or for a part of it (Cooley and Tukey's factors, of radix p), or a
    diagonal of twiddle factors (p = 1). A step adds up p complex products for each result, in real arithmetic ``2p``
    terms for each part, so the error of a result is at most ``e = sqrt(2) * gamma(2p)``, and that of the rounded
    constants, times the sum of the moduli of its operands (Higham, lemma 3.5). So, as Gentleman and Sande, *Fast
    Fourier Transforms: for fun and profit*, 1966, and Higham, theorem 24.2, for any radices:

    - ``|F(b)~ - F(b)| <= e_1 * sum|b|`` for each frequency, ``1 + e_1`` the product of ``1 + e`` over the steps, since
      paths through a transform have modulus 1;
    - ``||F(a)~ - F(a)|| <= e_2 * ||F(a)||``, ``1 + e_2`` the product of ``1 + sqrt(p)*e``, since the matrix of a step's
      moduli has a norm sqrt(p) times as large as the step; and so the inverse, with e_4.

    Products and their sum over ``terms`` add ``e_3 = sqrt(2) * gamma(2*terms)``. As ``|F(b)| <= sum|b|`` and ``||a|| <=
    sqrt(pixels) * max|a|``, no element is further from the exact one than the norm of the difference of the planes::

        sqrt(pixels) * ((1 + e_1) (1 + e_2) (1 + e_3) (1 + e_4) - 1) * max|a| * sum|b|

    The root is the price of a norm: a transform may gather the error of the whole plane in one pixel.

    Args:
        image: p of each step that transforms ``a``, rows and columns.
        kernel: the same of ``b``.
        inverse: the same of the inverse; a division of its own by the size is one of 1.
        pixels: pixels of a plane of ``a``, without zeros around it.
        terms: planes that are added up before the inverse: C/groups, O/groups, or for the weight's gradient N.
        unit_roundoff: u.
    """
    e_1 = prod(1 + _step(p, unit_roundoff) for p in kernel)
    e_2, e_4 = (prod(1 + sqrt(p) * _step(p, unit_roundoff) for p in steps) for steps in (image, inverse))
    e_3 = 1 + sqrt(2) * gamma(2 * terms, unit_roundoff)
    return sqrt(pixels) * (e_1 * e_2 * e_3 * e_4 - 1)


def _step(samples: int, unit_roundoff: float) -> float:
    """Error of each result of a step, over the sum of its operands' moduli.

    Roots of unity are made in float64, where an angle up to 2*pi that is rounded three times and its sine and cosine,
    to a unit in the last place, leave them within 22 units of roundoff; they are rounded, and maybe scaled, once more.
    """
    constant = 2 * unit_roundoff + 22 * DOUBLE
    return sqrt(2) * ((1 + constant) * (1 + gamma(2 * samples, unit_roundoff)) - 1)
