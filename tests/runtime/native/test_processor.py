"""Reading the processor: from LLVM's names of features, and from files as Linux writes them."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from convir.loops import Processor
from convir.runtime.native.processor import cache_sizes, describe, has_fma, host, processor, sharers

X86 = {"sse2": True, "avx": False, "avx512f": False, "fma": False}


@pytest.mark.parametrize(
    ("present", "shape"),
    [
        ({"avx", "avx2", "avx512f"}, (64, 32)),
        ({"avx", "avx2"}, (32, 16)),
        ({"avx"}, (32, 16)),
        ({"neon"}, (16, 32)),
        (set(), (16, 16)),
    ],
)
def test_vector_registers(tmp_path, present, shape):
    found = processor({**X86, **dict.fromkeys(present, True)}, tmp_path / "none")
    assert (found.vector_bytes, found.vector_registers) == shape


@pytest.mark.parametrize(("present", "fma"), [({"fma"}, True), ({"avx", "avx2"}, False), ({"neon"}, True)])
def test_fused_multiply_add(present, fma):
    assert has_fma({**X86, **dict.fromkeys(present, True)}) == fma


def write(folder, index, **files):
    (folder / f"index{index}").mkdir()
    for name, text in files.items():
        (folder / f"index{index}" / name).write_text(f"{text}\n", encoding="ascii")


def test_caches(tmp_path):
    write(tmp_path, 0, level=1, type="Data", size="48K")
    write(tmp_path, 1, level=1, type="Instruction", size="64K")
    write(tmp_path, 2, level=2, type="Unified", size="2M")
    write(tmp_path, 3, level=3, type="Unified", size="x")
    write(tmp_path, 4, level=4)
    write(tmp_path, 10, level="many", type="Unified", size="1K")
    assert cache_sizes(tmp_path) == {1: 48 * 1024, 2: 2 * 1024 * 1024}
    assert processor(X86, tmp_path) == Processor(16, 16, 48 * 1024, 2 * 1024 * 1024)


def test_of_the_third_cache_a_core_has_a_share(tmp_path):
    write(tmp_path, 2, level=2, type="Unified", size="1M", shared_cpu_list="3")
    write(tmp_path, 3, level=3, type="Unified", size="32M", shared_cpu_list="0-3,8-10,12")
    assert sharers(tmp_path) == {2: 1, 3: 8}
    assert processor(X86, tmp_path).l3_bytes == 4 * 2**20
    (tmp_path / "index3" / "shared_cpu_list").write_text("0-x", encoding="ascii")
    assert processor(X86, tmp_path).l3_bytes == 32 * 2**20


def test_where_nothing_is_known_of_caches_they_are_usual(tmp_path):
    usual = Processor()
    assert processor({}, tmp_path / "none") == Processor(16, 16, usual.l1_bytes, usual.l2_bytes, usual.l3_bytes)


def test_this_machine():
    assert host().vector_bytes in (16, 32, 64)
    assert str(host().vector_bytes) in describe()
