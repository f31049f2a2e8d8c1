"""What tiles allocate: what is planned, once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.tiled import CASES, on_every_backend, run

import convir
from convir import MemoryLimitError, nn
from convir.runtime import Arena


@pytest.fixture
def arenas(monkeypatch):
    """Bytes of every arena that is made."""
    made: list[int] = []
    before = Arena.__init__

    def counted(self, nbytes):
        before(self, nbytes)
        made.append(nbytes)

    monkeypatch.setattr(Arena, "__init__", counted)
    return made


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("batch", [6, 7])
def test_what_is_planned_is_allocated(arenas, batch, inference, threads):
    """A tile keeps its memory until its backward; without one, a lane has memory for whatever tile it runs."""
    compiled = CASES["features"].compile(batch, tile=2, threads=threads, inference=inference)
    plan = compiled.memory
    assert plan.arenas == (threads if inference else -(-batch // 2))
    assert arenas == [plan.arena_bytes] * plan.arenas
    assert sum(arenas) == plan.peak_bytes == plan.arenas * plan.arena_bytes


def test_a_call_allocates_results_alone(arenas):
    case = CASES["features"]
    compiled, (x,) = case.compile(7, tile=2, threads=2), case.arrays(7)
    arenas.clear()
    run(compiled, [x])
    assert arenas == []


@on_every_backend
def test_nothing_is_allocated_in_steady_state(backend):
    """Neither an activation nor a copy of the batch: what is seen is NumPy's own, of a fixed size."""
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 28 * 28, 10))
    compiled = convir.compile(model, (64, 1, 28, 28), tile=16, threads=2, backend=backend)
    x, dy = np.ones((64, 1, 28, 28), "f4"), np.ones((64, 10), "f4")
    for _ in range(2):
        compiled.run_forward(x)
        compiled.run_backward(dy)
    tracemalloc.start()
    for _ in range(3):
        compiled.run_forward(x)
        compiled.run_backward(dy)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    activation = 16 * 8 * 28 * 28 * 4
    assert now < 20_000
    assert peak < activation


def test_too_large_a_plan_is_refused_before_anything_is_allocated(arenas, monkeypatch):
    plan = CASES["features"].compile(7, tile=2, threads=2).memory
    arenas.clear()
    monkeypatch.setattr("convir.specialisation.machine_bytes", lambda: plan.peak_bytes - 1)
    with pytest.raises(MemoryLimitError, match=rf"the memory plan needs .* \({plan.peak_bytes} bytes\)"):
        CASES["features"].compile(7, tile=2, threads=2)
    assert arenas == []
    monkeypatch.setattr("convir.specialisation.machine_bytes", lambda: plan.peak_bytes)
    CASES["features"].compile(7, tile=2, threads=2)


def test_too_large_another_batch_leaves_the_model_usable(monkeypatch):
    case = CASES["features"]
    compiled, (x,) = case.compile(7, tile=2), case.arrays(7)
    expected = compiled(x)
    monkeypatch.setattr("convir.specialisation.machine_bytes", lambda: compiled.memory.peak_bytes)
    with pytest.raises(MemoryLimitError):
        compiled(*case.arrays(50))
    np.testing.assert_array_equal(compiled(x), expected)


def test_tiles_without_a_backward_take_less_memory_than_the_batch():
    whole = CASES["features"].compile(64, inference=True, tile=64).memory
    assert CASES["features"].compile(64, inference=True, tile=4).memory.peak_bytes * 10 < whole.peak_bytes


def test_costs_are_those_of_the_whole_batch():
    whole, tiled = CASES["mean loss"].compile(12, tile=12), CASES["mean loss"].compile(12, tile=5, threads=2)
    assert tiled.cost.macs == whole.cost.macs
    assert tiled.cost.flops == whole.cost.flops
