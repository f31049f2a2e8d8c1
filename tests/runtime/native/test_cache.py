"""The cache on disk: where it is, and that nothing is trusted that is not whole."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from support.native_jobs import run, times

from convir import ConvirWarning
from convir.common.cache import cache_folder
from convir.runtime.native import build
from convir.runtime.native.cache import COMPILED
from convir.runtime.native.objects import ObjectCode

CODE = ObjectCode("function", ("expf",), bytes(range(64)))


def test_object_code_comes_back():
    assert ObjectCode.from_bytes(CODE.to_bytes()) == CODE


def test_no_part_of_object_code_is_taken_for_it():
    content = CODE.to_bytes()
    assert [ObjectCode.from_bytes(content[:size]) for size in range(len(content))] == [None] * len(content)


@given(st.integers(0, len(CODE.to_bytes()) - 1), st.integers(1, 255))
def test_object_code_with_another_byte_is_refused(place, difference):
    content = bytearray(CODE.to_bytes())
    content[place] ^= difference
    assert ObjectCode.from_bytes(bytes(content)) is None


def test_damaged_files_are_made_again(folder, monkeypatch):
    jobs = [times(2), times(3)]
    build.compile_all(jobs)
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == sorted(f"{job.key}.native" for job in jobs)
    for damaged in (b"", b"convir machine code 1\n", files[0].read_bytes()[:-1], b"\0" * 5000):
        files[0].write_bytes(damaged)
        monkeypatch.setattr(build, "_known", {})
        report = build.compile_all(jobs)
        assert (report.compiled, report.loaded) == (1, 1)
        # Not the same bytes: Numba numbers the functions that it compiles, and the number is in the name.
        assert ObjectCode.from_bytes(files[0].read_bytes()) is not None
        assert [run(job)[0] for job in jobs] == [2, 3]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"CONVIR_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"CONVIR_CACHE_DIR": "", "XDG_CACHE_HOME": "/b"}, "/b/convir"),
        ({"HOME": "/home/me"}, "/home/me/.cache/convir"),
    ],
)
def test_the_folder(monkeypatch, settings, expected):
    for name in ("CONVIR_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_folder_that_cannot_be_written_to_gets_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(ConvirWarning, match=r"cannot be kept in .*cache.*; set CONVIR_CACHE_DIR") as caught:
        build.compile_all([times(2), times(3)])
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build.compile_all([times(4)])
    assert run(times(4)) == [4, 8, 12, 16]


def test_seeing_and_clearing(folder):
    assert (COMPILED.contents().entries, COMPILED.contents().bytes) == (0, 0)
    build.compile_all([times(2), times(3)])
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.glob("*.native"))
    seen = COMPILED.contents()
    assert (seen.entries, seen.bytes, seen.folder, seen.removed) == (2, size, str(folder), False)
    assert str(seen) == f"2 compiled functions, {size / 1024:.0f} KiB, in {folder}"
    assert COMPILED.contents(clear=True).removed
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_two_processes_at_once_leave_a_whole_cache(folder):
    code = (
        "from support.native_jobs import run, times; from convir.runtime.native import build; "
        "build.compile_all(map(times, range(1, 7))); print([run(times(factor))[0] for factor in range(1, 7)])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CONVIR_NUM_THREADS": "2"}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == ["[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]\n"] * 2
    files = list(folder.iterdir())
    assert len(files) == 6
    assert all(ObjectCode.from_bytes(file.read_bytes()) for file in files)
