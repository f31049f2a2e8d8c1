"""How a batch is divided, what is said of it, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.compiled_nets import Net
from support.tiled import CASES, image

import convir
from convir import ConvirError, UnsupportedError, nn, tiling
from convir import tiles as tiles_module
from convir.passes.batch import batch_roles
from convir.runtime import kernels_for, thread_count
from convir.tiles import VECTOR, Tile, Tiles, chosen_size


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
    compiled = convir.compile(model, (6, 1, 6, 6), threads=2)
    assert compiled.division.roles is None
    assert "dropout_mask" in compiled.division.reason
    compiled(np.ones((6, 1, 6, 6), "f4"))
    model.eval()
    compiled(np.ones((6, 1, 6, 6), "f4"))
    assert len(compiled.division.tiles) == 2


@pytest.mark.parametrize("where", ["inside", "at the end"])
def test_dropout_that_inference_removes_keeps_no_batch_in_one_piece(where):
    convir.manual_seed(0)
    model = Net() if where == "inside" else nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.Dropout())
    x = np.random.default_rng(0).standard_normal((7, 1, 6, 6)).astype("f4")
    whole, tiled = (convir.compile(model, x.shape, inference=True, **options) for options in ({}, {"tile": 3}))
    assert model.training
    assert [tile.size for tile in tiled.division.tiles] == [3, 3, 1]
    np.testing.assert_allclose(tiled(x), whole(x), rtol=1e-5, atol=1e-6)


def test_a_size_that_the_code_computed_with_counts_although_its_dropout_is_removed():
    def scaled(x):
        y = nn.functional.dropout(x)
        return y * (1 / y.shape[0])

    with pytest.raises(UnsupportedError, match=r"computed with the number of samples.*which was 6"):
        convir.compile(scaled, (6, 3), inference=True, tile=2)


def test_a_model_that_mixes_samples_is_not_divided_and_says_where():
    compiled = convir.compile(lambda x: x / x.sum(), (6, 3), threads=2)
    assert compiled.division.roles is None
    assert "div" in compiled.division.reason
    x = np.arange(1, 19, dtype="f4").reshape(6, 3)
    np.testing.assert_allclose(compiled(x), x / x.sum(), rtol=1e-6)


def test_tiles_that_cannot_be_had_are_refused_with_the_reason():
    with pytest.raises(UnsupportedError) as caught:
        convir.compile(lambda x: x / x.sum(), (6, 3), tile=2)
    assert caught.value.where.startswith("div (test_division.py:")
    assert caught.value.message.startswith("tile=2 asks for tiles, but div cannot be computed in batch tiles: ")
    assert caught.value.message.endswith("; without tile= it runs in tiles that are chosen, or in one piece")
    with pytest.raises(UnsupportedError, match="dropout_mask cannot be computed in batch tiles"):
        convir.compile(Net(), (6, 1, 6, 6), tile=2)


def test_what_needs_no_division_runs_until_a_larger_batch_comes():
    compiled = convir.compile(lambda x: x / x.sum(), (2, 3), tile=2)
    x = np.arange(1, 19, dtype="f4").reshape(6, 3)
    np.testing.assert_allclose(compiled(x[:2]), x[:2] / x[:2].sum(), rtol=1e-6)
    with pytest.raises(UnsupportedError, match="tile=2 asks for tiles"):
        compiled(x)
    np.testing.assert_allclose(compiled(x[:1]), x[:1] / x[:1].sum(), rtol=1e-6)


def test_a_tile_for_which_there_is_no_program_is_refused(monkeypatch):
    real = tiling.build

    def build(graph, *arguments):
        if graph.inputs[0].type.shape[0] == 2:
            raise ConvirError("no pass fits")
        return real(graph, *arguments)

    monkeypatch.setattr(tiling, "build", build)
    with pytest.raises(UnsupportedError, match="tile=2 asks for tiles, but no pass fits"):
        CASES["features"].compile(7, tile=2)
    division = CASES["features"].compile(4, threads=2).division
    assert (division.roles, division.reason) == (None, "no pass fits")


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


@pytest.mark.parametrize(
    ("batch", "threads", "sizes"),
    [
        (8, 2, [4, 4]),
        (9, 2, [5, 4]),
        (20, 2, [10, 10]),
        (64, 2, [32, 32]),
        (100, 2, [50, 50]),
        (100, 4, [25, 25, 25, 25]),
        (20, 3, [7, 7, 6]),
        (5, 1, [5]),
    ],
)
def test_lanes_get_equally_much(batch, threads, sizes):
    assert [tile.size for tile in CASES["features"].compile(batch, threads=threads).division.tiles] == sizes


@pytest.mark.parametrize(
    ("batch", "threads", "sizes"),
    [
        # One lane runs them all: rather whole vectors than tiles of one size.
        (100, 1, [56, 44]),
        (96, 1, [48, 48]),
        (72, 1, [72]),
        (73, 1, [37, 36]),
        # Two tiles for each lane, neither more than half as large again as what fits.
        (256, 2, [64, 64, 64, 64]),
        (288, 2, [72, 72, 72, 72]),
    ],
)
def test_tiles_are_about_as_large_as_the_cache_holds(monkeypatch, batch, threads, sizes):
    monkeypatch.setattr(tiles_module, "LEAST_TILE", 48)
    monkeypatch.setattr(tiles_module, "TILE_BYTES", 1)
    assert [tile.size for tile in CASES["features"].compile(batch, threads=threads).division.tiles] == sizes


def division_of(*channels, size=(16, 16), **options):
    """Of 4 images on 3x3 convolutions between so many channels."""
    layers = [nn.Conv2d(one, other, 3, padding=1) for one, other in pairwise(channels)]
    options = {"backend": "numba", "wrt": (), "threads": 1, **options}
    return convir.compile(nn.Sequential(*layers), (4, channels[0], *size), **options).division


@pytest.mark.skipif(find_spec("numba") is None, reason="no Numba")
def test_one_sample_is_a_tile_where_it_is_large_and_its_rows_are_long(monkeypatch):
    def sizes(*channels, **options):
        return [tile.size for tile in division_of(*channels, **options).tiles]

    # 1 channel to 4 of 16 x 16 pixels: 5 KiB of activations, 160 bytes of weights.
    monkeypatch.setattr(tiles_module, "TILE_BYTES", 5 * 1024 - 1)
    assert sizes(1, 4) == sizes(1, 4, inference=True, wrt=None) == [1, 1, 1, 1]
    assert sizes(1, 4, size=(40, 15)) == [4]  # rows of 15 pixels do not fill the vectors of two columns of a block
    assert sizes(1, 4, backend="numpy") == [4]  # the rows of a product are long anyway
    assert sizes(1, 4, wrt=None) == [4]  # each tile has the gradients of all weights
    assert sizes(64, 64) == [4]  # 128 KiB of activations, 144 of weights
    monkeypatch.setattr(tiles_module, "TILE_BYTES", 5 * 1024)
    assert sizes(1, 4) == [4]


@given(batch=st.integers(1, 400), lanes=st.integers(1, 5))
def test_no_lane_has_more_than_its_share_in_whole_vectors(batch, lanes):
    graph = convir.trace(CASES["features"].model(), *CASES["features"].types(batch))
    lanes = min(lanes, batch)
    tiles = Tiles(batch, min(batch, chosen_size(graph, batch_roles(graph), lanes)))
    first = sum(tile.size for tile in tiles[::lanes])
    share = -(-batch // lanes)
    assert first <= share + -share % VECTOR
    assert all(sum(tile.size for tile in tiles[lane::lanes]) <= first for lane in range(lanes))


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


def test_a_layer_that_is_too_large_in_a_tile_is_named_and_not_one_that_is_too_large_in_the_whole(monkeypatch):
    """Of a tile of 32 the second layer needs too much, of the whole batch the first does already."""
    monkeypatch.setattr("convir.tiling.machine_cpus", lambda: 2)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 64, 5, padding=2))
    options = {"conv": "auto", "memory_limit": 400_000, "threads": 2}
    with pytest.raises(UnsupportedError, match=r"left for 64 filters 5x5 of f32.32,8,16,16., .*more than the limit"):
        convir.compile(model, (64, 3, 16, 16), **options)
    with pytest.raises(UnsupportedError, match=r"left for 8 filters 3x3 of f32.64,3,16,16., .*more than the limit"):
        convir.compile(model, (64, 3, 16, 16), **options, tile=64)
