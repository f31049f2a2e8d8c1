"""Tiles with other batches, clones, threads of the user, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from support.tiled import CASES, assert_identical, assert_same, on_every_backend, run

import convir


def test_other_batches_are_divided_by_the_same_tile():
    case = CASES["mean loss"]
    compiled = case.compile(7, tile=3, threads=2)
    for batch in (5, 3, 1, 12, 7):
        arrays = case.arrays(batch, batch)
        assert_same(run(compiled, arrays), run(case.compile(batch), arrays))
        tiles = compiled.division.tiles
        assert (tiles.batch, tiles[0].size) == (batch, min(3, batch))


def test_a_backward_belongs_to_the_last_forward():
    case = CASES["features"]
    compiled, large, small = case.compile(8, tile=3, threads=2), case.arrays(8), case.arrays(5, 1)
    compiled(*large)
    compiled(*small)
    found = compiled.backward(np.ones((5, 3), "f4"))
    reference = case.compile(5)
    reference(*small)
    assert_same(found, reference.backward(np.ones((5, 3), "f4")))
    with pytest.raises(convir.ExecutionError, match="backward needs a forward call before it"):
        compiled.backward(np.ones((5, 3), "f4"))
    compiled(*large)
    with pytest.raises(convir.ShapeError, match=r"f32\[8,3\]"):
        compiled.backward(np.ones((5, 3), "f4"))


@on_every_backend
def test_clones_run_side_by_side(backend):
    case = CASES["several outputs"]
    compiled = case.compile(7, tile=2, threads=2, backend=backend)
    clones = [compiled, compiled.clone(), compiled.clone()]
    data = [case.arrays(7, seed) for seed in range(3)]
    expected = [run(case.compile(7, tile=2, backend=backend), arrays) for arrays in data]
    found: list[list] = [[], [], []]

    def work(index: int) -> None:
        found[index] = [run(clones[index], data[index]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, each in zip(found, expected, strict=True):
        assert len(results) == 5
        for result in results:
            assert_identical(result, each)


def test_a_clone_is_divided_alike():
    compiled = CASES["features"].compile(7, tile=3, threads=2)
    assert compiled.clone().division is compiled.division


_FORK = """
import os, sys
import numpy as np
import convir
from convir.runtime import kernels_for
from support.tiled import CASES, run

type(kernels_for(sys.argv[1])).lane_flops = 1
case = CASES["several outputs"]
arrays = case.arrays(7)
compiled = case.compile(7, tile=2, threads=2, backend=sys.argv[1])
expected = run(compiled, arrays)

def same():
    found = run(compiled, arrays)
    return all(found[name].tobytes() == array.tobytes() for name, array in expected.items())

assert same()
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        ok = False
        try:
            ok = same() and same()
        finally:
            os._exit(0 if ok else 1)
    children.append(child)
    assert same()
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert same()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@on_every_backend
def test_a_forked_child_runs_the_model_too(backend):
    """Helper threads do not survive a fork; the child starts its own."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", _FORK, backend],
        env={**os.environ, "PYTHONPATH": path, "CONVIR_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
