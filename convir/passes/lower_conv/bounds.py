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

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from math import inf, prod, sqrt

import numpy as np

from convir.ir import UnsupportedError
from convir.ir.cook_toom import CookToom, Matrix
from convir.ir.ops.window import Pair
from convir.passes.cost.winograd import transposed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.parts import Parts

#: The largest prime factor of a transform's length for which :func:`fourier` holds: pocketfft divides such lengths by
#: their factors, and computes others by way of a convolution (Bluestein).
LARGEST_FACTOR = 11


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


def bilinear(layer: ConvLayer, rows: CookToom, columns: CookToom, tiles: int, unit_roundoff: float) -> Parts[float]:
    """For Winograd's minimal filtering: ``Y = A^T [sum of (G w G^T) * (B^T x B)] A``.

    Computed, Y is the sum of the terms ``A_ip A_jq G_pk G_ql B_rp B_sq w_kl x_rs``, each times ``1 + t`` with
    ``|t| <= gamma(n)`` and n the roundings on its way. So, element by element, as in theorem 1 of Barabasz, Anderson,
    Soodhalter and Gregg, *Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks*,
    ACM TOMS 2020::

        |computed - exact| <= gamma(n) * |A^T| [sum of (|G||w||G^T|) * (|B^T||x||B|)] |A|
                           <= gamma(n) * amplification * max|x| * sum|w|

    where the second line takes the largest sum of each row of ``|B^T|`` for ``|B^T||x|``, and the worst place of the
    tile and the worst tap, see :func:`amplification`. The weight's gradient, ``G^T [sum of (A dy A^T) * (B^T x B)] G``,
    is made of the same terms, summed over the ``tiles`` of all images; that of the image is a convolution.

    n counts the roundings of all transforms, which a number passes through one side after the other or as one product
    with the Kronecker product of the two matrices, whichever has more of them, those of the constants themselves
    included; and the length of the sum between them.
    """
    grown = float(amplification(rows) * amplification(columns))
    transforms = sum(_passed(getattr(rows, name), getattr(columns, name)) for name in ("weight", "input", "output"))
    adjoints = _passed(rows.input, columns.input) + sum(
        _passed(transposed(getattr(rows, name)), transposed(getattr(columns, name))) for name in ("weight", "output")
    )
    per_filter, per_channel = layer.weight.shape[1], layer.weight.shape[0] // layer.op.groups
    return Parts(
        grown * gamma(transforms + per_filter + layer.biased, unit_roundoff),
        grown * gamma(transforms + per_channel, unit_roundoff),
        grown * gamma(adjoints + tiles, unit_roundoff),
    )


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


def fourier(transform: Pair, pixels: int, terms: int, unit_roundoff: float) -> float:
    """For convolution by fast Fourier transforms: ``y = F^-1 [sum of F(a) * F(b)]``, F over a plane.

    The bound is a multiple of ``max|a| * sum|b|``: a is the image (or for its gradient the cotangent) and b the weight;
    for the weight's gradient a is the image and b the cotangent. One that is added to y, a bias, is one term more.

    A transform is a product of sparse matrices, one for each prime factor p of its length (radices 4 and 8 are two and
    three factors of 2), and diagonal ones of twiddle factors. A complex addition has the relative error u, a complex
    product ``sqrt(2)*gamma(2)`` (Higham, lemma 3.5), and a twiddle factor, made in float64 or from two that a library
    gives to a unit in the last place each, ``gamma(7)``. Factors of 2 only add. Of an odd p, real and imaginary parts
    of p terms pass through ``(p-1)/2 + 4`` roundings, and the two coefficients of a term are sqrt(2) together at most.
    So (Gentleman and Sande, *Fast Fourier Transforms: for fun and profit*, 1966, and Higham, theorem 24.2, for mixed
    radices), with e the product over all factors of what they and their twiddles multiply by, less 1:

    - ``|F(b)~ - F(b)| <= e_1 * sum|b|`` for each frequency, since a path through the transform has modulus 1;
    - ``||F(a)~ - F(a)|| <= e_2 * ||F(a)||``, where an odd factor costs sqrt(p) more, the norm of its matrix of moduli
      over that of the matrix.

    Products and their sum over ``terms`` add ``e_3 = sqrt(2) * gamma(2*terms)`` (real arithmetic in any order), the
    inverse e_2 again, and its scaling, once a dimension, gamma(4). As ``|F(b)| <= sum|b|`` and ``||a|| <= sqrt(pixels)
    * max|a|``, no element is further from the exact one than the norm of the difference of the planes::

        sqrt(pixels) * ((1 + e_1) (1 + e_2)^2 (1 + e_3) (1 + gamma(4)) - 1) * max|a| * sum|b|

    The root is the price of a norm: a transform may gather the error of the whole plane in one pixel.

    Args:
        transform: rows and columns of the planes that are transformed, zeros included.
        pixels: pixels of a plane of ``a``, without those zeros, at most.
        terms: planes that are added up before the inverse: C/groups, O/groups, or for the weight's gradient N.
        unit_roundoff: u.

    Raises:
        UnsupportedError: a length with a prime factor over LARGEST_FACTOR, which libraries transform by other means.
    """
    factors = [factor for length in transform for factor in _prime_factors(length)]
    product = sqrt(2) * gamma(2, unit_roundoff)
    turned = (1 + gamma(7, unit_roundoff)) * (1 + product)
    by_sum = prod((1 + _butterfly(p, unit_roundoff)) * turned for p in factors)
    by_norm = prod((1 + _butterfly(p, unit_roundoff) * (sqrt(p) if p > 2 else 1)) * turned for p in factors)
    products = 1 + sqrt(2) * gamma(2 * terms, unit_roundoff)
    return sqrt(pixels) * (by_sum * by_norm**2 * products * (1 + gamma(4, unit_roundoff)) - 1)


def _butterfly(factor: int, unit_roundoff: float) -> float:
    """Error of each sum of a factor's terms, over the sum of their moduli."""
    if factor == 2:
        return unit_roundoff
    return sqrt(2) * gamma((factor - 1) // 2 + 4, unit_roundoff)


def _prime_factors(length: int) -> Iterable[int]:
    rest, factor = length, 2
    while rest > 1:
        while rest % factor == 0:
            yield factor
            rest //= factor
        factor += 1
        if rest > 1 and factor > LARGEST_FACTOR:
            raise UnsupportedError(
                f"a transform of length {length} has a prime factor over {LARGEST_FACTOR}, for which there is no bound "
                "of the rounding; transform a longer plane, of smaller factors"
            )
