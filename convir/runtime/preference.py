"""Which lowering strategy a backend uses for a convolution where nobody names one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from convir.ir import TensorType
from convir.ir.ops import Conv2d, ConvOp

#: ``pays(op, image, weight)``, with the NCHW type of the image and the OIHW type of the weight: whether a strategy is
#: worth using for a convolution that it takes; asked for its gradients too, where they are computed.
Pays = Callable[[ConvOp, TensorType, TensorType], bool]


def always(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """For strategies that are never slower than those that come after them."""
    return True


#: Strategies by name in order of preference, each with where it pays; the last one is for all other convolutions.
Preferences = tuple[tuple[str, Pays], ...]


#: Numbers of a vector: 32 bytes of float32.
VECTOR = 8

#: Channels and filters from which on gradients by NumPy take less time than compiled loops that multiply zeros.
GRADIENT_CHANNELS = 32


def tiled_compiled(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether ``direct``, compiled, would have less than a vector of neighbours, which are a run of memory.

    With a stride neighbours are images, else a row of outputs of all images. Compiled, ``im2col_tiled`` makes runs of
    them. Measured on AVX2, layers of ResNet-18 with a stride: with 1 image a quarter of the time of ``direct``, with 4
    half of it, with 8 up to a tenth more. Its gradients run by NumPy.
    """
    batch = image.shape[0]
    columns = op.output_size((image.shape[2], image.shape[3]), (weight.shape[2], weight.shape[3]))[1]
    if batch * (columns if op.stride[1] == 1 else 1) >= VECTOR:
        return False
    fewest = min(weight.shape[0] // op.groups, weight.shape[1])
    return isinstance(op, Conv2d) or (op.stride != (1, 1) and fewest >= GRADIENT_CHANNELS)


def winograd_by_numpy(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether NumPy's transforms of 4x4 tiles cost less than they save.

    Measured on AVX2 beside im2col by blocks, forward and with both gradients: 1.1 and 1.3 times as fast from 32
    channels and 4 images on, 1.4 and 1.6 with 64, if the images together have so many pixels that transforming the
    weights is worth it; with one image from 64 channels on, since rows of tiles are then copied number by number. With
    a stride, where more places save less, 4x4 tiles take up to 1.3 times as long as im2col.
    """
    if op.stride != (1, 1):
        return False
    filters, channels = weight.shape[0] // op.groups, weight.shape[1]
    fewest, images = min(filters, channels), image.shape[0]
    size = op.output_size((image.shape[2], image.shape[3]), (weight.shape[2], weight.shape[3]))
    return fewest >= 32 and fewest * min(images, 2) >= 64 and images * prod(size) >= 1000


def winograd_compiled(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether compiled transforms of 4x4 tiles cost less than they save, with stride 1.

    Measured on AVX2: 1.6 times as fast as the direct method from 8 images on with 8 channels, twice with 32, and as
    fast with one image of 16 channels.
    """
    if op.stride != (1, 1):
        return False
    filters, channels = weight.shape[0] // op.groups, weight.shape[1]
    size = op.output_size((image.shape[2], image.shape[3]), (weight.shape[2], weight.shape[3]))
    fewest = min(filters, channels)
    return fewest >= 6 and fewest * image.shape[0] >= 32 and min(size) >= 4


#: Columns of a product that take as long as reading a place's weights, which no cache close to the core holds.
WEIGHTS = 16

#: How many times fewer multiplications, weights included, pay for the transforms of a convolution with a stride.
SAVED = 1.125


def strided_4x4_compiled(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether compiled 4x4 tiles pay with a stride, and not less than 2x2 tiles."""
    return _strided(op, image, weight) and _saved(4, op, image, weight) >= max(SAVED, _saved(2, op, image, weight))


def strided_2x2_compiled(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether compiled 2x2 tiles pay with a stride: they fill an output of 14 x 14, and 4x4 tiles one of 16 x 16.

    Measured on AVX2 beside ``im2col_tiled`` and ``direct``, 3x3 with stride 2 and 1 to 16 images, what this and
    :func:`strided_4x4_compiled` choose: 1.0 to 1.25 times as fast from 32 channels on, 1.05 to 1.3 from 64 on, with
    both gradients 1.3 to 2.4 times; 5x5 twice. One image of 32 channels takes longer.
    """
    return _strided(op, image, weight) and _saved(2, op, image, weight) >= SAVED


def _strided(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    """Whether there is a stride, and there are enough channels and filters for each to be transformed."""
    fewest = min(weight.shape[0] // op.groups, weight.shape[1])
    return op.stride != (1, 1) and fewest >= 32 and fewest * image.shape[0] >= 64


def _saved(tile: int, op: ConvOp, image: TensorType, weight: TensorType) -> float:
    """Multiplications of the loop nest over those of tiles that cover the result, weights included, for each pair.

    Along an axis a tile has m + r - 1 of them for each of the phases, of which there are no more than taps; together
    ``min(K, s) * (m - 1) + K``.
    """
    kernel = (weight.shape[2], weight.shape[3])
    size = op.output_size((image.shape[2], image.shape[3]), kernel)
    places = prod(min(taps, stride) * (tile - 1) + taps for taps, stride in zip(kernel, op.stride, strict=True))
    tiles = image.shape[0] * prod(-(-extent // tile) for extent in size)
    return image.shape[0] * prod(kernel) * prod(size) / (places * (tiles + WEIGHTS))
