"""The digits, splitting, batches, resizing."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import convir
from convir import LoadError, ShapeError, data

SHA256 = "b3b9c8cc11d765ce4264d8748bf3edbafa5038d91c93cf713ddbd6ae8652b410"
FILE = Path(data.__file__).parent / "datasets" / "digits.npz"


def numbered(count: int, classes: int = 3) -> data.Dataset:
    """Samples whose input is their number."""
    return data.Dataset(np.arange(count, dtype="float32")[:, None], np.arange(count) % classes)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_file_is_the_one_that_was_made():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256
    assert SHA256 in (FILE.parent / "README.md").read_text()


def test_digits_are_those_of_the_repository():
    digits = data.digits()
    assert len(digits) == 1797
    assert (digits.inputs.dtype, digits.inputs.shape) == (np.float32, (1797, 1, 8, 8))
    assert (digits.targets.dtype, digits.targets.shape) == (np.int64, (1797,))
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    # The published class counts of the test set, and the first line of its file.
    assert np.bincount(digits.targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (digits.inputs[0, 0, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert digits.targets[:10].tolist() == list(range(10))
    assert digits.inputs.sum(dtype="float64") * 16 == 561718


def test_digits_agree_with_scikit_learn():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    digits = data.digits()
    np.testing.assert_array_equal(digits.inputs[:, 0] * 16, source.images)
    np.testing.assert_array_equal(digits.targets, source.target)


def test_callers_do_not_share_the_digits():
    data.digits().inputs[:] = 7
    data.digits().targets[:] = 7
    assert data.digits().inputs.max() == 1
    assert data.digits().targets.min() == 0


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that stands for the one that comes with convir."""
    path = tmp_path / "digits.npz"
    monkeypatch.setattr(data, "_DIGITS", path)
    data._digit_arrays.cache_clear()
    yield path
    data._digit_arrays.cache_clear()


def test_a_missing_file(file):
    with pytest.raises(LoadError, match=r"digits\.npz: is missing; install convir again"):
        data.digits()


def test_damaged_files(file):
    whole = FILE.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for content in (b"", b"not an archive", whole[:1000], whole[:-100], flipped):
        file.write_bytes(content)
        with pytest.raises(LoadError, match="install convir again"):
            data.digits()


def test_a_file_of_something_else(file):
    np.savez(file, images=np.zeros((2, 8, 8), "uint8"), labels=np.zeros(2, "uint8"))
    with pytest.raises(LoadError, match=r"holds \(2, 8, 8\) images"):
        data.digits()
    np.savez(file, other=np.zeros(2))
    with pytest.raises(LoadError, match="cannot be read"):
        data.digits()
    np.savez(file, images=np.array([{}], object), labels=np.zeros(2))
    with pytest.raises(LoadError, match="cannot be read"):
        data.digits()


def test_the_archive_needs_nothing_but_numpy_to_read():
    with zipfile.ZipFile(io.BytesIO(FILE.read_bytes())) as archive:
        assert archive.namelist() == ["images.npy", "labels.npy"]
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((3, 2)), np.zeros(2), "one target for each input, got 3 inputs, 2 targets"),
        (np.zeros((0, 2)), np.zeros(0), "at least one sample"),
        (1.0, np.zeros(1), r"inputs must be an array with a sample in each row, got 1\.0"),
        (np.zeros(1), None, "targets must be an array"),
    ],
)
def test_data_that_is_no_data_set(inputs, targets, message):
    with pytest.raises(ShapeError, match=message):
        data.Dataset(inputs, targets)


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.37, 0.9])
def test_a_split_takes_every_class_in_proportion(fraction):
    digits = data.digits()
    rest, drawn = digits.split(fraction, rng())
    assert len(drawn) == int(1797 * fraction)
    assert len(rest) + len(drawn) == 1797
    counts = np.bincount(digits.targets)
    assert (np.abs(np.bincount(drawn.targets) - counts * fraction) < 1).all()


def test_a_split_is_a_partition_with_its_own_targets():
    whole = numbered(100, classes=7)
    rest, drawn = whole.split(0.3, rng())
    assert len(drawn) == 30
    assert sorted([*rest.inputs[:, 0], *drawn.inputs[:, 0]]) == list(range(100))
    for part in (rest, drawn):
        np.testing.assert_array_equal(part.targets, part.inputs[:, 0] % 7)
        assert (np.diff(part.inputs[:, 0]) > 0).all()


def test_a_split_is_random_and_repeatable():
    whole = numbered(100)
    drawn = [whole.split(0.3, rng(seed))[1].inputs.tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    convir.manual_seed(5)
    first = whole.split(0.3)[1].inputs
    convir.manual_seed(5)
    np.testing.assert_array_equal(whole.split(0.3)[1].inputs, first)


def test_each_sample_of_a_class_has_the_same_chance_to_be_drawn():
    whole = numbered(20, classes=2)
    generator = rng()
    drawn = np.concatenate([whole.split(0.2, generator)[1].inputs[:, 0] for _ in range(2000)])
    counts = np.bincount(drawn.astype(int), minlength=20)
    assert (np.abs(counts - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)).all()


def test_targets_that_are_no_classes_are_split_too():
    whole = data.Dataset(np.arange(10.0), np.linspace(0, 1, 10))
    rest, drawn = data.train_test_split(whole, 0.3, rng())
    assert (len(rest), len(drawn)) == (7, 3)
    np.testing.assert_allclose(drawn.targets, drawn.inputs / 9)


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), "half", None])
def test_fractions_outside_the_range(fraction):
    with pytest.raises(ShapeError, match="strictly between 0 and 1"):
        numbered(10).split(fraction)


@pytest.mark.parametrize("fraction", [0.01, 1e-12])
def test_a_split_leaves_no_part_empty(fraction):
    with pytest.raises(ShapeError, match="leaves one part empty"):
        numbered(10).split(fraction)


@pytest.mark.parametrize("size", [1, 3, 10, 64])
def test_shuffled_batches_hold_each_sample_once(size):
    whole = numbered(10)
    parts = list(whole.batches(size, shuffle=True, generator=rng()))
    assert [len(x) for x, _ in parts] == [min(size, 10 - start) for start in range(0, 10, size)]
    seen = np.concatenate([x[:, 0] for x, _ in parts])
    assert sorted(seen) == list(range(10))
    assert seen.tolist() != list(range(10))
    for x, target in parts:
        np.testing.assert_array_equal(target, x[:, 0] % 3)


def test_batches_in_order_and_without_the_last():
    whole = numbered(10)
    assert [x[:, 0].tolist() for x, _ in whole.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(x) for x, _ in whole.batches(4, drop_last=True)] == [4, 4]
    assert [len(x) for x, _ in whole.batches(5, drop_last=True)] == [5, 5]


def test_each_epoch_has_its_own_order():
    whole, generator = numbered(50), rng()
    first, second = (next(whole.batches(50, True, generator))[0].tolist() for _ in range(2))
    assert first != second


@pytest.mark.parametrize("size", [0, -1, 2.5, True, None, "4"])
def test_batch_sizes_that_are_none(size):
    # Before the first batch is asked for.
    with pytest.raises(ShapeError, match="the batch size must be a positive integer, got"):
        numbered(10).batches(size)


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (8, 8), (9, 17), (3, 5), (1, 1)])
def test_resizing_is_pytorch_interpolation(size):
    torch = pytest.importorskip("torch")
    digits = data.digits()
    sample = data.Dataset(digits.inputs[:20], digits.targets[:20])
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(sample.inputs), size=size, mode="bilinear", align_corners=False
    )
    resized = sample.resized(size)
    assert resized.inputs.dtype == np.float32
    np.testing.assert_allclose(resized.inputs, expected.numpy(), atol=5e-7)
    assert resized.targets is sample.targets


def test_resizing_by_hand():
    image = data.Dataset(np.array([[[[0.0, 4.0]]]]), np.zeros(1))
    # Twice as wide: centres at -0.25, 0.25, 0.75, 1.25 of the old pixels, held at the edges.
    np.testing.assert_allclose(image.resized((1, 4)).inputs, [[[[0, 1, 3, 4]]]])
    np.testing.assert_allclose(image.resized((2, 1)).inputs, [[[[2], [2]]]])


def test_what_cannot_be_resized():
    with pytest.raises(ShapeError, match=r"only images \(N, C, H, W\) can be resized, got \[10, 1\]"):
        numbered(10).resized((2, 2))
    for size in ((0, 4), (4, -1), (2.5, 2)):
        with pytest.raises(ShapeError, match="height and width must be a positive integer"):
            data.digits().resized(size)
    for size in (32, (32,), "ab", None):
        with pytest.raises(ShapeError, match=r"a size is \(height, width\)"):
            data.digits().resized(size)


def test_representation():
    assert repr(data.digits()) == "<Dataset: inputs float32[1797, 1, 8, 8], targets int64[1797]>"
