"""The benchmarks run on every system."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_default_of_threads_is_known_on_every_system(monkeypatch):
    usable_cpus = runpy.run_path(str(BENCHMARKS / "training_step.py"))["usable_cpus"]
    assert 1 <= usable_cpus() <= os.cpu_count()
    # Only Linux has this.
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cpus() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1
