"""How a batch is divided, what is said of it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.compiled_nets import Net
from support.tiled import CASES, image

import convir
from convir import ConvirError
from convir.runtime import kernels_for, thread_count
from convir.tiling import Tile, Tiles


def test_what_is_said_of_it():
    compiled = CASES["features"].compile(7, tile=3, threads=2)
    assert str(compiled.division) == "3 tiles of 3 and 1 samples on 2 threads"
    assert compiled.division.reason == ""
    assert compiled.graph.inputs[0].type == image(3)


def test_a_tile_as_large_as_the_batch_is_the_batch():
    for tile in (7, 8, 1000):
        division = CASES["features"].compile(7, tile=tile, threads=2).division
        assert (division.roles, len(division.tiles), division.lanes) == (None, 1, 1)
        assert str(division) == f"one tile: a tile of {tile} holds the batch of 7"


def test_a_random_model_is_not_divided():
    """Masks are drawn for the whole batch; divided, they would depend on the tiles."""
    convir.manual_seed(0)
    model = Net()
    compiled = convir.compile(model, (6, 1, 6, 6), tile=2, threads=2)
    assert compiled.division.roles is None
    assert "dropout_mask" in compiled.division.reason
    compiled(np.ones((6, 1, 6, 6), "f4"))
    model.eval()
    compiled(np.ones((6, 1, 6, 6), "f4"))
    assert len(compiled.division.tiles) == 3


def test_a_model_that_mixes_samples_is_not_divided_and_says_where():
    compiled = convir.compile(lambda x: x / x.sum(), (6, 3), tile=2, threads=2)
    assert compiled.division.roles is None
    assert compiled.division.reason
    x = np.arange(1, 19, dtype="f4").reshape(6, 3)
    np.testing.assert_allclose(compiled(x), x / x.sum(), rtol=1e-6)


def test_a_model_without_batch():
    compiled = convir.compile(lambda x: x * 2, (), tile=1, threads=2)
    assert compiled.division.roles is None
    assert compiled(np.float32(3)) == 6


def test_little_work_is_not_divided(monkeypatch):
    monkeypatch.setattr(type(kernels_for("numpy")), "lane_flops", 10**9)
    compiled = CASES["features"].compile(64, threads=2)
    assert (compiled.division.lanes, compiled.division.roles) == (1, None)


@given(batch=st.integers(1, 300), threads=st.integers(1, 5))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_chosen_covers_the_batch(batch, threads):
    division = CASES["features"].compile(batch, threads=threads).division
    covered = [place for tile in division.tiles for place in range(tile.start, tile.stop)]
    assert covered == list(range(batch))
    assert 1 <= division.lanes <= min(threads, len(division.tiles))


@given(st.integers(1, 60), st.integers(1, 60))
def test_tiles(batch, size):
    tiles = Tiles(batch, min(size, batch))
    listed = list(tiles)
    assert len(tiles) == len(listed)
    assert [place for tile in listed for place in range(tile.start, tile.stop)] == list(range(batch))
    assert {tile.size for tile in listed} == set(tiles.sizes)
    assert all(tile.size == tiles.size for tile in listed[:-1])
    assert tiles[-1] == listed[-1]
    assert tiles[1:] == listed[1:]
    with pytest.raises(IndexError):
        tiles[len(listed)]


def test_a_tile_counts_its_samples():
    assert Tile(3, 5).size == 2


@pytest.mark.parametrize("tile", [0, -1, 2.0, "2", True, np.nan])
def test_what_is_no_number_of_samples_is_refused(tile):
    with pytest.raises(ConvirError, match="tile is a positive number of samples"):
        CASES["features"].compile(7, tile=tile)


@pytest.mark.parametrize("threads", [0, -1, 2.0, "2", True])
def test_what_is_no_number_of_threads_is_refused(threads):
    with pytest.raises(ConvirError, match="threads"):
        CASES["features"].compile(7, threads=threads)


def test_numpy_integers_are_numbers():
    assert CASES["features"].compile(7, tile=np.int64(3), threads=np.int32(2)).division.tiles.size == 3


def test_the_environment_says_how_many_threads(monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", "3")
    assert CASES["features"].compile(7, tile=1).division.lanes == thread_count(None) == 3


def test_an_unknown_backend_is_refused():
    with pytest.raises(convir.UnsupportedError, match="unknown backend='cuda'; there are: numpy, numba, auto"):
        CASES["features"].compile(7, backend="cuda")


def test_auto_runs_without_numba(monkeypatch):
    monkeypatch.setattr("convir.runtime.backends.find_spec", lambda name: None)
    assert CASES["features"].compile(7, backend="auto").program.kernels.name == "numpy"
    with pytest.raises(convir.UnsupportedError, match=r"not installed: pip install 'convir\[numba\]'"):
        CASES["features"].compile(7, backend="numba")
