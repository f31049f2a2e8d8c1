"""The benchmarks run on every system, count right, and write down all that they found."""

from __future__ import annotations

import json
import os
import runpy
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import memory, results, timing
from harness.measure import TOLERANCE, largest_difference
from harness.report import report
from harness.results import EngineResult, Results, WorkloadResult
from hypothesis import given
from hypothesis import strategies as st

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


def test_strategies_are_measured_beside_im2col_and_those_that_refuse_are_left_out():
    program = runpy.run_path(str(BENCHMARKS / "strategies.py"))
    figures = program["measured"]("lenet conv2", ["shift_gemm", "pointwise"], 2, 2, 1)
    assert list(figures) == ["im2col", "shift_gemm"]
    for half in ("forward", "backward"):
        assert set(figures["im2col"][half]["ratio"].values()) == {1.0}
    assert all(
        each["difference"] < 1e-5 and each["arena_bytes"] > each["scratch_bytes"] > 0 for each in figures.values()
    )
    text = program["report"]("lenet conv2", 2, figures)
    assert text.splitlines()[0] == "lenet conv2, batch 2"
    assert "1.00 (1.00 to 1.00)" in text
    assert all(filters % options.get("groups", 1) == 0 for _, _, filters, _, options in program["LAYERS"].values())


def test_what_a_choice_loses_and_what_all_lose_together():
    program = runpy.run_path(str(BENCHMARKS / "choice.py"))
    times = {"im2col": {"median": 3.0}, "direct": {"median": 2.0}, "winograd_4x4": {"median": 1.0}}
    right = program["Choice"]("a", 1, "winograd_4x4", "im2col", {}, times)
    wrong = program["Choice"]("b", 1, "direct", "winograd_4x4", {}, times)
    assert (right.best, right.lost("direct"), wrong.lost("im2col")) == ("winograd_4x4", 2.0, 3.0)
    text = program["total"]([right, wrong])
    assert "auto takes 1.500 times what the fastest strategies take, measure 2.000, im2col 3.00." in text
    assert "Auto lost most on b, batch 1: 2.00." in text


@pytest.mark.slow
def test_auto_is_measured_beside_every_strategy():
    program = runpy.run_path(str(BENCHMARKS / "choice.py"))
    (layer,) = (each for each in program["CONV_LAYERS"] if each.name == "resnet18:512-512-7")
    found = program["measured"](layer, 1, "numpy", 1, 1)
    assert found.chosen in found.seconds
    assert set(found.predicted) == set(found.seconds) | {"direct"}
    assert found.layer in program["report"]([found])


# Statistics

SECONDS = st.floats(1e-9, 1e3)


@given(st.lists(SECONDS, min_size=1, max_size=30))
def test_quartiles_and_spread_are_numpys_percentiles(values):
    np.testing.assert_allclose(timing.quartiles(values), np.percentile(values, [25, 50, 75]))
    np.testing.assert_allclose(list(timing.spread(values).values()), np.percentile(values, [0, 25, 50, 75, 100]))


def test_there_are_no_quartiles_of_nothing():
    with pytest.raises(ValueError, match="no values"):
        timing.quartiles([])


def test_a_disturbance_of_whole_rounds_cancels_in_the_ratio():
    baseline = [1.0, 10.0, 1.0]
    assert timing.ratios([2.0, 20.0, 2.0], baseline) == [2.0, 2.0, 2.0]
    assert statistics.median(timing.ratios([20.0, 2.0, 2.0], baseline)) == 2.0
    with pytest.raises(ValueError, match="zip"):
        timing.ratios([1.0], baseline)


def test_every_engine_is_first_as_often_as_last():
    order = timing.in_turn(4, 3)
    assert [which for _, which in order[:6]] == [2, 1, 0, 0, 1, 2]
    assert sorted(order) == [(i, which) for i in range(4) for which in range(3)]


def test_interleaved_times_every_step_in_every_round():
    calls = []
    seconds = timing.interleaved([lambda: calls.append("a"), lambda: calls.append("b")], 3)
    assert [len(each) for each in seconds] == [3, 3]
    # The first of two is not counted.
    assert calls == list("bbaaaabbbbaa")


def test_difference_is_relative_to_the_norm_of_each_array(tmp_path):
    np.savez(tmp_path / "a.npz", np.array([30.0, 40.0]), np.array([1.0]))
    np.savez(tmp_path / "b.npz", np.array([30.0, 41.0]), np.array([1.01]))
    assert largest_difference(tmp_path / "b.npz", tmp_path / "a.npz") == pytest.approx(1 / 50)
    np.savez(tmp_path / "c.npz", np.array([100.0, 1.0]))
    assert largest_difference(tmp_path / "c.npz", tmp_path / "a.npz") == float("inf")
    np.savez(tmp_path / "d.npz", np.array([[100.0, 1.0]]), np.array([1.0]))
    assert largest_difference(tmp_path / "d.npz", tmp_path / "a.npz") == float("inf")


def test_a_result_that_is_not_a_number_does_not_agree(tmp_path):
    np.savez(tmp_path / "a.npz", np.array([1.0]))
    np.savez(tmp_path / "nan.npz", np.array([np.nan]))
    assert not largest_difference(tmp_path / "nan.npz", tmp_path / "a.npz") <= TOLERANCE


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_peak_memory_sees_what_came_and_went():
    # Earlier tests have come and gone, too.
    before, now = memory.peak_bytes(), memory.resident_bytes()
    np.ones((before - now) // 8 + (1 << 25)).sum()  # 256 MiB more than ever
    assert memory.peak_bytes() - before >= 1 << 27
    assert memory.resident_bytes() <= memory.peak_bytes()


# What is written


def run_of(*found):
    machine = {
        "cpu": "C",
        "usable_cpus": 2,
        "caches": {},
        "system": "S",
        "python": "3",
        "blas": "B",
        "date": "2026-01-02",
    }
    return Results(machine, 2, 2, {"512": 4e9, "1024": 8e9}, found)


def example():
    ours = EngineResult("convir", "measured", seconds=(1.0, 2.0), peak_bytes=300, loaded_bytes=100, calls=1)
    theirs = EngineResult(
        "torch", "measured", versions={"torch": "2"}, seconds=(3.0, 4.0), other_cores=(0.0, 0.5), calls=1
    )
    absent = EngineResult("jax", "failed", "it fell over")
    return WorkloadResult("net-infer-4", "Net", 4, False, 6_000_000_000, (ours, theirs, absent))


def test_json_has_every_figure_and_every_reason():
    document = json.loads(json.dumps(run_of(example()).to_json()))
    assert document["schema"] == results.SCHEMA
    assert set(document) == {
        *(
            "schema",
            "machine",
            "versions",
            "threads",
            "rounds",
            "disturbed_share_of_bursts",
            "matmul_ceiling_flops_per_second",
            "workloads",
        ),
    }
    (workload,) = document["workloads"]
    ours, theirs, absent = workload["engines"]
    assert ours["grown_bytes"] == 200
    assert theirs["seconds"] == [3.0, 4.0]
    assert theirs["seconds_quartiles"] == [3.25, 3.5, 3.75]
    # 3 / 1 and 4 / 2, and not 3.5 / 1.5.
    assert theirs["ratio_to_convir_quartiles"] == [2.25, 2.5, 2.75]
    assert theirs["images_per_second"] == pytest.approx(4 / 3.5)
    assert theirs["flops_per_second"] == pytest.approx(6e9 / 3.5)
    assert theirs["share_of_ceiling"] == pytest.approx(6e9 / 3.5 / 8e9)
    assert (absent["status"], absent["reason"], absent["seconds"]) == ("failed", "it fell over", [])
    assert "ratio_to_convir_quartiles" not in absent


def test_the_report_fits_a_hundred_columns_and_names_every_engine():
    text = report(run_of(example()))
    assert max(map(len, text.splitlines())) <= 100
    row = next(line for line in text.splitlines() if line.startswith("PyTorch eager"))
    assert " ".join(row.split()) == "PyTorch eager 3.50 s 3.25 - 3.75 s 1 2.50 2.25 - 2.75 1.71 21.4 % -"
    assert "JAX jit: failed: it fell over" in text
    assert "more than 0.25 cores in 50% of the bursts" in text
    assert text.startswith("NOT A QUIET MACHINE, not to be quoted: other programs ran in 50% of the bursts.")
    assert text.count("NOT A QUIET MACHINE") == 2


def test_a_quiet_machine_is_not_warned_of():
    (quiet, loud), rest = ((0.0,) * 9, (9.0,)), {"status": "measured", "seconds": (1.0,)}
    found = WorkloadResult("n", "N", 1, False, 1, (EngineResult("convir", **rest, other_cores=quiet + loud),))
    assert run_of(found).disturbed_share == 0.1
    assert run_of(found).warning == ""
    unknown = WorkloadResult("n", "N", 1, False, 1, (EngineResult("convir", **rest),))
    assert (run_of(unknown).disturbed_share, run_of(unknown).warning) == (None, "")


def test_what_went_wrong_ends_the_program_with_an_error():
    assert run_of(example()).wrong == ["net-infer-4: jax failed: it fell over"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_is_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    from harness.plot import plot

    target = plot(run_of(example()), tmp_path / f"ratios.{suffix}")
    assert target.stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_the_command_refuses_before_it_measures(monkeypatch, capsys, tmp_path):
    cases = {
        ("--engines", "tensorflow"): "no engine is called 'tensorflow'",
        ("--workloads", "x"): "no workload is called 'x'",
        ("--threads", "0"): "--threads must be from 1 to",
        ("--rounds", "-1"): "--rounds must be at least 1",
        ("--plot", str(tmp_path / "a.gif")): "the suffix must be one of .png, .svg, .pdf",
        ("--json", str(tmp_path / "no" / "a.json")): "No such file or directory",
    }
    monkeypatch.setattr("harness.threads.set_threads", lambda threads: None)
    for arguments, message in cases.items():
        monkeypatch.setattr(sys, "argv", ["engines.py", *arguments])
        with pytest.raises(SystemExit, match=r"engines\.py: ") as stopped:
            runpy.run_path(str(BENCHMARKS / "engines.py"), run_name="__main__")
        assert message in str(stopped.value)
