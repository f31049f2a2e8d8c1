"""Data sets that fit in memory: the digits that come with convir, splitting, resizing, batches."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.common.random import default_generator
from convir.ir import ConvirError, LoadError, ShapeError

__all__ = ["Dataset", "digits", "train_test_split"]

Array = NDArray[Any]

_DIGITS = files("convir") / "datasets" / "digits.npz"
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with what a model should answer.

    Attributes:
        inputs: (N, ...), for images (N, C, H, W).
        targets: (N, ...): class indices as int64 (N,), or numbers.

    Raises:
        ShapeError: no samples, or not one target for each.
    """

    inputs: Array
    targets: Array

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            array = np.asarray(getattr(self, name))
            if array.ndim == 0 or array.dtype == object:
                raise ShapeError(f"{name} must be an array with a sample in each row, got {getattr(self, name)!r:.60}")
            object.__setattr__(self, name, array)
        if len(self.inputs) != len(self.targets):
            raise ShapeError(
                f"a data set has one target for each input, got {len(self.inputs)} inputs, {len(self.targets)} targets"
            )
        if not len(self):
            raise ShapeError("a data set needs at least one sample, got none")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    def __repr__(self) -> str:
        def described(array: Array) -> str:
            return f"{array.dtype}{list(array.shape)}"

        return f"<Dataset: inputs {described(self.inputs)}, targets {described(self.targets)}>"

    def split(self, fraction: float, generator: np.random.Generator | None = None) -> tuple[Dataset, Dataset]:
        """Draw ``fraction`` of the samples (rounded down) at random: ``train, test = dataset.split(0.2)``.

        Samples with class indices are drawn so that every class gives its share, to within one
        sample. Both parts keep the order of the whole.

        Args:
            fraction: strictly between 0 and 1.
            generator: draws the samples; the default one unless given.

        Returns:
            The rest, and what was drawn.

        Raises:
            ShapeError: a fraction outside (0, 1), or so near its ends that a part would be empty.
        """
        if not isinstance(fraction, (float, np.floating)) or not 0 < fraction < 1:
            raise ShapeError(f"the fraction of a split must lie strictly between 0 and 1, got {fraction!r}")
        order = generator_or_default(generator).permutation(len(self))
        if _are_classes(self.targets):
            order = order[np.argsort(self.targets[order], kind="stable")]
        # Drawn at even distances along the order, so from each run of a class in proportion.
        # The small number keeps 0.3 * 10 from being 2.999...
        passed = np.floor(np.arange(len(self) + 1) * fraction + 1e-9)
        drawn = np.diff(passed) > 0
        if drawn.all() or not drawn.any():
            raise ShapeError(f"a split of {len(self)} samples at {fraction} leaves one part empty")
        return self._rows(np.sort(order[~drawn])), self._rows(np.sort(order[drawn]))

    def batches(
        self,
        size: int,
        shuffle: bool = False,
        generator: np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[tuple[Array, Array]]:
        """Inputs and targets of ``size`` samples at a time, each sample once.

        Args:
            size: samples in a batch; the last one holds the rest.
            shuffle: draw a new order, with ``generator`` or the default one.
            generator: used only to shuffle.
            drop_last: leave out a last batch that is smaller.

        Raises:
            ShapeError: a size that is not a positive integer.
        """
        size = positive("the batch size", size)
        order = generator_or_default(generator).permutation(len(self)) if shuffle else None
        end = len(self) - len(self) % size if drop_last else len(self)
        parts = (slice(start, start + size) for start in range(0, end, size))
        rows = parts if order is None else (order[part] for part in parts)
        return ((self.inputs[row], self.targets[row]) for row in rows)

    def resized(self, size: tuple[int, int]) -> Dataset:
        """The same with images of another height and width, by bilinear interpolation.

        Pixel centres stand at half-integers and edges are repeated, as in PyTorch's ``interpolate(...,
        mode="bilinear", align_corners=False)``. Meant for enlarging: shrinking skips pixels.

        Raises:
            ShapeError: inputs that are not (N, C, H, W), or a size that is not two positive integers.
        """
        if self.inputs.ndim != 4:
            raise ShapeError(f"only images (N, C, H, W) can be resized, got {list(self.inputs.shape)}")
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise ShapeError(f"a size is (height, width), got {size!r}")
        height, width = (positive("height and width", side) for side in size)
        rows = _interpolation(self.inputs.shape[2], height)
        columns = _interpolation(self.inputs.shape[3], width)
        resized = rows @ self.inputs @ columns.T
        kept = self.inputs.dtype if self.inputs.dtype.kind == "f" else np.dtype("float32")
        return replace(self, inputs=resized.astype(kept))

    def _rows(self, rows: NDArray[np.intp]) -> Dataset:
        return Dataset(self.inputs[rows], self.targets[rows])


def digits() -> Dataset:
    """The 1,797 handwritten digits of the UCI repository: inputs float32 (1797, 1, 8, 8) in [0, 1], targets 0 to 9.

    E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0). Ink was counted in 4 x 4 blocks of a
    32 x 32 bitmap, 0 to 16; here it is divided by 16.

    Raises:
        LoadError: the file that comes with convir is missing or damaged.
    """
    images, labels = _digit_arrays()
    return Dataset(images[:, np.newaxis].astype(np.float32) / np.float32(16), labels.astype(np.int64))


def train_test_split(
    dataset: Dataset, test_fraction: float = 0.2, generator: np.random.Generator | None = None
) -> tuple[Dataset, Dataset]:
    """A data set to train on, and one of ``test_fraction`` of the samples to test on: see :meth:`Dataset.split`."""
    return dataset.split(test_fraction, generator)


def positive(label: str, value: Any) -> int:
    """``value`` as an int; raises ShapeError naming ``label`` unless it is a positive integer."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_integer or value < 1:
        raise ShapeError(f"{label} must be a positive integer, got {value!r}")
    return int(value)


@cache
def _digit_arrays() -> tuple[Array, Array]:
    """Images (1797, 8, 8) and labels (1797,), both uint8."""
    try:
        # Read whole: np.load leaves a file that is damaged open.
        with np.load(io.BytesIO(_DIGITS.read_bytes()), allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except _DAMAGE as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise LoadError(f"{problem}; install convir again", str(_DIGITS)) from None
    if images.shape != (1797, 8, 8) or labels.shape != (1797,):
        raise LoadError(f"holds {images.shape} images and {labels.shape} labels; install convir again", str(_DIGITS))
    return images, labels


def generator_or_default(given: Any) -> np.random.Generator:
    """``given``, or the default generator for None; raises ConvirError for anything else."""
    if given is None:
        return default_generator()
    if not isinstance(given, np.random.Generator):
        raise ConvirError(
            f"generator must be a numpy.random.Generator, such as np.random.default_rng(3), got {given!r:.60}"
        )
    return given


def _are_classes(targets: Array) -> bool:
    return targets.ndim == 1 and targets.dtype.kind in "iub"


def _interpolation(size: int, new_size: int) -> NDArray[np.float64]:
    """The matrix (new_size, size) that interpolates linearly between the two nearest pixel centres."""
    centres = ((np.arange(new_size) + 0.5) * size / new_size - 0.5).clip(0, size - 1)
    lower = np.minimum([floor(centre) for centre in centres], max(size - 2, 0))
    upper = np.minimum(lower + 1, size - 1)
    matrix = np.zeros((new_size, size))
    np.add.at(matrix, (np.arange(new_size), lower), 1 - (centres - lower))
    np.add.at(matrix, (np.arange(new_size), upper), centres - lower)
    return matrix
