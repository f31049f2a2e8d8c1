"""Weights in files."""

from __future__ import annotations

import numpy as np
import pytest

from convir import LoadError, StateDictError, nn, zoo
from convir.training import load, save


def test_what_was_saved_is_loaded(tmp_path):
    model, other = zoo.lenet5(), zoo.lenet5()
    path = save(model, tmp_path / "weights.npz")
    assert load(other, path) is other
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    # Any NumPy reads it.
    assert set(np.load(path)) == set(model.state_dict())


def test_the_path_is_taken_as_it_is_and_a_file_is_replaced(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    assert save(zoo.mlp(), str(path)) == path
    load(zoo.mlp(), str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]


def test_parameters_named_like_arguments_of_savez(tmp_path):
    class Odd(nn.Module):
        def __init__(self, value):
            self.file = nn.Parameter(value)

    save(Odd([1.0]), tmp_path / "odd.npz")
    assert load(Odd([2.0]), tmp_path / "odd.npz").file.data == 1.0


def test_another_model_s_weights_change_nothing(tmp_path):
    save(zoo.mlp(hidden=(3,)), tmp_path / "w.npz")
    model = zoo.mlp()
    before = model.state_dict()
    with pytest.raises(StateDictError, match=r"missing: hidden\.1\.weight"):
        load(model, tmp_path / "w.npz")
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(LoadError, match=r"w\.npz: there is no such file of weights"):
        load(zoo.mlp(), tmp_path / "w.npz")
    whole = save(zoo.mlp(), tmp_path / "w.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    contents = [b"", b"text", whole[:-40], bytes(flipped)]
    contents += [(tmp_path / name).read_bytes() for name in ("array.npy", "objects.npz")]
    for content in contents:
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(LoadError, match=r"bad\.npz: is not a file of weights that convir\.training\.save wrote"):
            load(zoo.mlp(), tmp_path / "bad.npz")
    with pytest.raises(LoadError, match="cannot read weights: Is a directory"):
        load(zoo.mlp(), tmp_path)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(LoadError, match="cannot write weights: No such file or directory"):
        save(zoo.mlp(), tmp_path / "none" / "w.npz")
