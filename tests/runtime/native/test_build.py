"""From source to something that runs: compiled once a process and once a machine, several at once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from itertools import chain, repeat

import numpy as np
import pytest

pytest.importorskip("numba")

from support.native_jobs import BROKEN, run, times

import convir
from convir import nn
from convir.runtime.native import build, compiler, pool
from convir.runtime.native.compiler import CompileError

DIES = "print('ready', flush=True); input(); raise SystemExit(3)"
TALKS = "print('hello'); print('ready', flush=True); input(); raise SystemExit(5)"
NOT_READY = "raise SystemExit(4)"


def fake(code):
    """A process that runs ``code`` in place of a worker."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


def counts(report):
    return report.compiled, report.loaded, report.ready, report.failed


def forget(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(build, "_known", {})


def test_compiled_then_loaded_then_ready(monkeypatch):
    jobs = [times(2), times(3), times(2)]
    assert counts(build.compile_all(jobs)) == (2, 0, 0, 0)
    assert run(times(3)) == [3, 6, 9, 12]
    assert counts(build.compile_all(jobs)) == (0, 0, 2, 0)
    forget(monkeypatch)
    assert counts(build.compile_all([*jobs, times(5)])) == (1, 2, 0, 0)
    assert [run(times(factor))[3] for factor in (2, 3, 5)] == [8, 12, 20]
    assert counts(build.compile_all([])) == (0, 0, 0, 0)


def test_what_is_loaded_needs_no_numba(folder):
    build.compile_all([times(7)])
    code = (
        "import sys; from support.native_jobs import run, times; from convir.runtime.native import build; "
        "print(build.compile_all([times(7)]).loaded, run(times(7)), 'numba' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True)
    assert done.stdout == "1 [7.0, 14.0, 21.0, 28.0] False\n"


def test_what_cannot_be_compiled_has_a_reason_in_one_line(folder):
    report = build.compile_all([BROKEN, times(2)])
    assert counts(report) == (1, 0, 0, 1)
    assert "1 that could not be compiled, which NumPy runs" in str(report)
    (error,) = build.failures([BROKEN, times(2)]).values()
    assert str(error) == "TypingError: Unknown attribute 'nonsense' of type int64*"
    with pytest.raises(CompileError, match="nonsense"):
        build.code_of(BROKEN)
    assert counts(build.compile_all([BROKEN])) == (0, 0, 0, 1)
    assert len(list(folder.iterdir())) == 1


def test_what_was_asked_for_last_is_kept(monkeypatch):
    monkeypatch.setattr(build, "KEPT", 3)
    for factor in (1, 2, 3, 1, 4):
        build.compile_all([times(factor)])
    assert set(build._known) == {times(3), times(1), times(4)}
    assert run(times(2)) == [2, 4, 6, 8]
    assert counts(build.compile_all([times(1), times(3)])) == (0, 1, 1, 0)


def test_all_functions_of_one_program_are_kept(monkeypatch):
    monkeypatch.setattr(build, "KEPT", 2)
    jobs = [BROKEN, *map(times, range(1, 5))]
    build.compile_all(jobs)
    assert counts(build.compile_all(jobs)) == (0, 0, 4, 1)
    assert set(build.failures(jobs)) == {BROKEN}
    build.compile_all([times(5)])
    assert len(build._known) == 2


def test_a_function_lives_as_long_as_somebody_can_call_it(monkeypatch):
    monkeypatch.setattr(build, "KEPT", 1)
    code = weakref.ref(build.code_of(times(2)))
    entry = build.entry(build.code_of(times(2)))
    build.compile_all([times(3)])
    gc.collect()
    assert code() is not None
    del entry
    gc.collect()
    assert code() is None


def test_a_program_keeps_its_functions(monkeypatch):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2))
    x = np.random.default_rng(0).standard_normal((4, 1, 6, 6)).astype("f4")
    expected = convir.compile(model, x.shape)(x)
    monkeypatch.setattr(build, "KEPT", 1)
    compiled = convir.compile(model, x.shape, backend="numba", tile=2)
    build.compile_all([times(2)])
    gc.collect()
    assert set(build._known) == {times(2)}
    steps = [step for half in compiled.executable.halves for step in half]
    codes = [step.code for step in steps]
    assert len(codes) > 5
    assert all(step.code is code for step, code in zip(steps, codes, strict=True))
    np.testing.assert_allclose(compiled(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("Failed in x mode pipeline (step: y)\n\n  what it is  \nmore"), "ValueError: what it is"),
        (KeyError(), "KeyError"),
        (RuntimeError("\n \n"), "RuntimeError"),
    ],
)
def test_the_line_that_says_most(error, line):
    assert compiler.reason(error) == line


@pytest.mark.parametrize("change", ["name", "text", "signature", "processor", "versions"])
def test_the_key_says_what_machine_code_depends_on(monkeypatch, change):
    job, fields = times(2), vars(times(2))
    before = job.key
    assert times(2).key == before
    if change == "processor":
        monkeypatch.setattr(compiler, "identity", lambda: "another machine")
    elif change == "versions":
        monkeypatch.setattr(compiler, "_versions", lambda: "another Numba")
    else:
        job = compiler.Job(**{**fields, change: fields[change] + " "})
    assert job.key != before


def test_versions_are_those_of_numba_llvm_and_the_lowering(monkeypatch, tmp_path):
    import llvmlite
    import numba

    assert compiler._versions().split()[:2] == [numba.__version__, llvmlite.__version__]
    assert {"vectors.py", "lowering.py"} <= set(compiler._OWN)
    before = compiler._versions.__wrapped__()
    for name in compiler._OWN:
        (tmp_path / name).write_text("")
    monkeypatch.setattr(compiler, "__file__", str(tmp_path / "compiler.py"))
    assert compiler._versions.__wrapped__() != before


@pytest.mark.parametrize(("jobs", "most", "processes"), [(5, 8, 0), (6, 1, 0), (6, 2, 2), (6, 8, 6), (99, 8, 8)])
def test_how_many_processes_pay(jobs, most, processes):
    assert pool.process_count(jobs, most) == processes


def test_no_process_where_the_interpreter_is_an_application(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert pool.process_count(99, 8) == 0
    monkeypatch.setattr(sys, "frozen", False)
    monkeypatch.setattr(sys, "executable", None)
    assert pool.process_count(99, 8) == 0


def test_processes_compile_what_this_process_runs(monkeypatch):
    monkeypatch.setattr(build, "thread_count", lambda: 2)
    monkeypatch.setattr(pool, "FEWEST", 4)
    report = build.compile_all([times(2), times(3), times(4), BROKEN])
    assert (report.processes, *counts(report)) == (2, 3, 0, 0, 1)
    assert "3 compiled by 2 processes" in str(report)
    assert [run(times(factor)) for factor in (2, 3, 4)] == [[f, 2 * f, 3 * f, 4 * f] for f in (2, 3, 4)]
    assert str(build.failures([BROKEN])[BROKEN]) == "TypingError: Unknown attribute 'nonsense' of type int64*"


def test_a_process_that_dies_is_replaced(monkeypatch):
    real = pool._started
    started = chain([lambda: fake(DIES)], repeat(real))
    monkeypatch.setattr(pool, "_started", lambda: next(started)())
    outcomes = [each for each in pool.compile_in_processes([times(2), times(3)], 1) if each]
    assert {job for job, _ in outcomes} == {times(2), times(3)}
    assert all(isinstance(code, compiler.ObjectCode) for _, code in outcomes)


def test_a_function_that_kills_its_process_twice_cannot_be_compiled(monkeypatch):
    monkeypatch.setattr(pool, "_started", lambda: fake(DIES))
    ((_, error),) = [each for each in pool.compile_in_processes([times(2)], 1) if each]
    assert str(error) == "the process that compiles it ended 2 times, with status 3"


def test_what_is_printed_before_a_process_is_ready_does_not_matter(monkeypatch):
    monkeypatch.setattr(pool, "_started", lambda: fake(TALKS))
    ((_, error),) = [each for each in pool.compile_in_processes([times(2)], 1) if each]
    assert "status 5" in str(error)


@pytest.mark.parametrize("start", [lambda: fake(NOT_READY), lambda: subprocess.Popen(["/no/such/program"])])
def test_where_no_process_can_be_started_this_one_compiles(monkeypatch, start):
    monkeypatch.setattr(pool, "_started", start)
    ((_, code),) = [each for each in pool.compile_in_processes([times(2)], 1) if each]
    assert isinstance(code, compiler.ObjectCode)


def test_leaving_early_ends_the_processes(monkeypatch):
    processes = []

    def started():
        processes.append(fake("import time; print('ready', flush=True); time.sleep(600)"))
        return processes[-1]

    here = []
    monkeypatch.setattr(pool, "_started", started)
    monkeypatch.setattr(pool, "compile_job", here.append)
    outcomes = pool.compile_in_processes([times(2), times(3)], 2)
    assert next(outcomes) is None
    outcomes.close()
    assert [process.poll() is not None for process in processes] == [True, True]
    assert here == []


SCRIPT = """
import sys
from convir import compile, zoo
print("main", compile(zoo.lenet5(), (1, 1, 28, 28), inference=True, backend="numba").build.processes)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_is_run_once_and_what_lies_beside_it_is_left_alone(tmp_path):
    (tmp_path / "main.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "base64.py").write_text("print('imported')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CONVIR_NUM_THREADS": "2"}
    command = [sys.executable, "-P", "main.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == ("main 2\n", "")
