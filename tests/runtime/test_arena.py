"""One block of memory, allocated once or refused with the figure."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import convir
from convir import MemoryLimitError, TensorType
from convir.runtime import Arena, arena, machine_bytes


def test_arrays_lie_where_they_are_put():
    block = Arena(256)
    a, b = block.array(0, TensorType((4, 4))), block.array(64, TensorType((2,), "float64"))
    a[...] = 1
    b[...] = 2
    np.testing.assert_array_equal(a, np.ones((4, 4)))
    assert b.ctypes.data - a.ctypes.data == 64
    assert a.ctypes.data % 64 == 0
    assert a.flags.c_contiguous
    assert block.nbytes == 256


def test_arrays_at_the_same_offset_are_the_same_bytes():
    block = Arena(64)
    whole, row = block.array(0, TensorType((2, 3))), block.array(12, TensorType((3,)))
    row[:] = [1, 2, 3]
    np.testing.assert_array_equal(whole[1], [1, 2, 3])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_every_element_type_and_scalars(dtype):
    block = Arena(64)
    scalar = block.array(8, TensorType((), dtype))
    scalar[...] = 1
    assert scalar.shape == ()
    assert scalar.dtype == dtype
    assert block.array(8, TensorType((1,), dtype))[0] == 1


def test_an_arena_knows_its_own_arrays():
    block, other = Arena(64), Arena(64)
    array = block.array(0, TensorType((4,)))
    assert block.spans(array[1:])
    assert not other.spans(array)


def test_an_empty_arena():
    assert Arena(0).nbytes == 0


def test_more_than_the_machine_is_refused_before_allocating():
    nbytes = machine_bytes() + 1
    tracemalloc.start()
    with pytest.raises(MemoryLimitError, match=rf"needs .* GiB \({nbytes} bytes\), this machine has"):
        Arena(nbytes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_the_limit_is_the_smaller_of_machine_and_container(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(arena, "_CGROUP_LIMITS", (limit, tmp_path / "absent"))
    whole = machine_bytes()
    limit.write_text("max\n")
    assert machine_bytes() == whole
    limit.write_text("1000\n")
    assert machine_bytes() == 1000
    with pytest.raises(MemoryLimitError, match=r"needs 0\.00 GiB \(1001 bytes\), this machine has 0\.00 GiB"):
        Arena(1001)
    Arena(1000)


def test_a_model_that_does_not_fit_is_refused_with_the_figure(monkeypatch):
    monkeypatch.setattr(arena, "machine_bytes", lambda: 10_000)
    with pytest.raises(MemoryLimitError, match=r"the memory plan needs .* use a smaller batch or input"):
        convir.compile(convir.zoo.lenet5(), (64, 1, 28, 28))


def test_a_batch_that_does_not_fit_leaves_the_compiled_model_usable(monkeypatch):
    compiled = convir.compile(convir.zoo.lenet5(), (1, 1, 28, 28))
    x = np.ones((1, 1, 28, 28), "f")
    before = compiled(x)
    monkeypatch.setattr(arena, "machine_bytes", lambda: 10_000)
    with pytest.raises(MemoryLimitError):
        compiled(np.ones((2, 1, 28, 28), "f"))
    np.testing.assert_array_equal(compiled(x), before)
    compiled.backward(np.ones((1, 10), "f"))
