"""How many threads a process should use."""

from __future__ import annotations

import os

import numpy as np
import pytest

from convir import ConvirError
from convir.runtime import cpus
from convir.runtime.cpus import machine_cpus, thread_count


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    monkeypatch.delenv("CONVIR_NUM_THREADS", raising=False)


@pytest.fixture
def control_groups(tmp_path, monkeypatch):
    """Fakes the groups of this process: a mapping of folder to the text of its cpu.max."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cpus, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cpus, "CGROUP_MOUNT", tmp_path / "mount")

    def fake(line: str, quotas: dict[str, str]) -> None:
        (tmp_path / "cgroup").write_text(line)
        for folder, text in quotas.items():
            (tmp_path / "mount" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "mount" / folder / "cpu.max").write_text(text)

    return fake


@pytest.mark.parametrize("threads", [1, 3, np.int64(5)])
def test_the_argument_comes_first(threads, monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", "7")
    count = thread_count(threads)
    assert count == threads
    assert type(count) is int


def test_then_the_variable(monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", " 7 ")
    assert thread_count(None) == 7


@pytest.mark.parametrize("setting", [None, "", "  "])
def test_then_the_cpus(setting, monkeypatch, control_groups):
    if setting is not None:
        monkeypatch.setenv("CONVIR_NUM_THREADS", setting)
    assert thread_count(None) == 8


@pytest.mark.parametrize("threads", [0, -1, 1.0, "2", True, False, [2]])
def test_a_bad_argument_is_named(threads):
    with pytest.raises(ConvirError) as caught:
        thread_count(threads)
    assert str(caught.value) == f"threads is a positive integer, or None for all CPUs of this process; not {threads!r}"


@pytest.mark.parametrize("setting", ["0", "-2", "two", "1.5", "1_0", "²", "٣", "+1", "9" * 5000])
def test_a_bad_variable_is_named(setting, monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", setting)
    with pytest.raises(ConvirError, match=r"CONVIR_NUM_THREADS is a positive integer, not .*; correct or unset it"):
        thread_count(None)
    assert thread_count(2) == 2


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 8),
        ("", 8),
        ("nonsense", 8),
        ("x 100000", 8),
    ],
)
def test_a_quota_is_rounded_up(quota, expected, control_groups):
    control_groups("0::/\n", {".": quota})
    assert thread_count(None) == expected


def test_the_least_of_the_groups_around_it_holds(control_groups):
    groups = {"a/b": "700000 100000", "a": "300000 100000", ".": "max 100000"}
    control_groups("5:cpu:/x\n0::/a/b\n", groups)
    assert thread_count(None) == 3
    control_groups("0::/a/b\n", {"a/b": "200000 100000"})
    assert thread_count(None) == 2
    # The host's path, seen from a container: only the root is there.
    control_groups("0::/docker/1234\n", {".": "400000 100000"})
    assert thread_count(None) == 4
    # A group outside of the container's own.
    control_groups("0::/../other\n", {".": "500000 100000"})
    assert thread_count(None) == 5


def test_without_control_groups_and_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr(cpus, "CGROUP", tmp_path / "missing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_count(None) == machine_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_count(None) == machine_cpus() == 1
