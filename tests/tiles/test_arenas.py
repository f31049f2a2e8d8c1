"""A last tile that is smaller may need more memory than the others: its loops are other loops."""

from __future__ import annotations

import numpy as np
import pytest

import convir
from convir import ConvirError
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY, Arena, Executable


def gated(x):
    return (x * 2.0) + (x * x)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_one_arena_is_large_enough_for_every_tile(backend):
    if backend == "numba":
        pytest.importorskip("numba")
    compiled = convir.compile(gated, (7, 5), backend=backend, tile=3, inference=True)
    needed = [program.memory.arena_bytes for program in compiled.division.programs.values()]
    assert compiled.memory.arena_bytes == compiled.executable.arena.nbytes == max(needed)
    x = np.random.default_rng(0).standard_normal((7, 5)).astype("f")
    np.testing.assert_allclose(compiled(x), gated(x), rtol=1e-6)


def test_an_arena_that_is_too_small_is_refused():
    plan = plan_memory([convir.trace(gated, (3, 5))], NUMPY)
    with pytest.raises(ConvirError, match=rf"the plan needs {plan.arena_bytes} bytes, the arena has 64"):
        Executable(plan, {}, NUMPY, Arena(64))


def test_messages_speak_of_the_whole_batch():
    compiled = convir.compile(gated, (8, 5), tile=2, inference=True)
    with pytest.raises(convir.ShapeError, match=r"takes 1 inputs \(x: f32\[8,5\]\), got 0"):
        compiled()
    assert len(repr(compiled.division)) < 100
