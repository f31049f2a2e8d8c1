"""Batches in tiles, on several threads: results and gradients are those of the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.tiled import (
    CASES,
    Features,
    WithMeanLoss,
    assert_identical,
    assert_same,
    image,
    on_every_backend,
    on_every_backend_slowly,
    on_every_case,
    run,
)

import convir
from convir import TensorType


@on_every_case
@given(batch=st.integers(2, 11), tile=st.integers(1, 10), threads=st.integers(1, 3), seed=st.integers(0, 9))
@example(batch=7, tile=3, threads=2, seed=0)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tiles_give_the_same(case, batch, tile, threads, seed):
    arrays = case.arrays(batch, seed)
    whole = case.compile(batch, tile=batch, threads=1)
    tiled = case.compile(batch, tile=tile, threads=threads)
    assert whole.division.roles is None
    assert (tiled.division.roles is None) == (tile >= batch)
    assert_same(run(tiled, arrays), run(whole, arrays))


@on_every_case
@on_every_backend_slowly
def test_inference_and_training_on_every_backend(case, backend):
    arrays = case.arrays(7)
    for options in ({}, {"inference": True}):
        whole = case.compile(7, **options)
        tiled = case.compile(7, tile=3, threads=2, backend=backend, **options)
        assert [part.size for part in tiled.division.tiles] == [3, 3, 1]
        for _ in range(2):
            assert_same(run(tiled, arrays), run(whole, arrays))


@on_every_case
@on_every_backend_slowly
def test_bit_for_bit_the_same_for_any_number_of_threads(case, backend):
    arrays = case.arrays(10)
    one, *more = [case.compile(10, tile=2, threads=n, backend=backend) for n in (1, 2, 5)]
    expected = run(one, arrays)
    assert [each.division.lanes for each in (one, *more)] == [1, 2, 5]
    for compiled in more:
        for _ in range(3):
            assert_identical(run(compiled, arrays), expected)


def test_gradients_of_what_is_asked_for():
    case, arrays = CASES["whole input"], CASES["whole input"].arrays(7)
    for wrt in (["x"], ["scale"], ["fc.bias", "x"], ["conv.weight"]):
        whole, tiled = case.compile(7, wrt=wrt), case.compile(7, wrt=wrt, tile=3, threads=2)
        found = run(tiled, arrays)
        assert_same(found, run(whole, arrays))
        assert set(found) == {"output 0", *wrt}


def test_gradients_of_one_output_of_several():
    case, arrays = CASES["several outputs"], CASES["several outputs"].arrays(7)
    for place in range(4):
        pair = [case.compile(7, of=[place], **options) for options in ({}, {"tile": 3, "threads": 2})]
        found = []
        for compiled in pair:
            result = compiled(*arrays)[place]
            found.append(compiled.backward(np.full_like(result, 2)))
        assert_same(found[1], found[0])


def test_a_single_loss_needs_no_cotangent():
    case, arrays = CASES["mean loss"], CASES["mean loss"].arrays(7)
    whole, tiled = case.compile(7), case.compile(7, tile=2)
    losses = [whole(*arrays), tiled(*arrays)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert_same(tiled.backward(), whole.backward())


def test_results_are_the_callers_and_uncopied_ones_are_not():
    case = CASES["features"]
    compiled, (x,) = case.compile(7, tile=3, threads=2), case.arrays(7)
    first = compiled(x)
    kept = first.copy()
    compiled(2 * x)
    np.testing.assert_array_equal(first, kept)
    (view,) = compiled.run_forward(x)
    assert not view.flags.writeable
    np.testing.assert_array_equal(view, first)
    assert compiled.run_forward(x)[0] is view
    compiled.run_forward(2 * x)
    assert not np.array_equal(view, first)


@on_every_backend
def test_inputs_of_any_memory_order(backend):
    case = CASES["features"]
    compiled, (x,) = case.compile(7, tile=3, threads=2, backend=backend), case.arrays(7)
    expected = compiled(x)
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1].copy()[::-1], x.astype(">f4")):
        np.testing.assert_array_equal(compiled(other), expected)


def test_parameters_are_live():
    convir.manual_seed(0)
    model, (x,) = Features(), CASES["features"].arrays(7)
    compiled = convir.compile(model, image(7), tile=3, threads=2)
    before = compiled(x)
    model.fc.bias.data += 1
    np.testing.assert_allclose(compiled(x), before + 1, rtol=1e-5)


def test_nan_stays_in_its_sample():
    compiled, (x,) = CASES["features"].compile(7, tile=3, threads=2), CASES["features"].arrays(7)
    x[4] = np.nan
    assert np.isnan(compiled(x)).any(axis=1).tolist() == [False] * 4 + [True] + [False] * 2


@on_every_backend
def test_a_wrong_class_is_refused_in_whichever_tile_it_is(backend):
    compiled = CASES["mean loss"].compile(7, tile=2, threads=2, backend=backend)
    x, target = CASES["mean loss"].arrays(7)
    for place in range(7):
        wrong = target.copy()
        wrong[place] = 3
        with pytest.raises(convir.ExecutionError, match="target holds class 3, but the logits have 3 classes"):
            compiled(x, wrong)
        with pytest.raises(convir.ExecutionError, match="backward needs a forward call before it"):
            compiled.backward()
    assert np.isfinite(compiled(x, target))


def test_cotangents_are_checked_for_the_whole_batch():
    compiled, (x,) = CASES["features"].compile(7, tile=3), CASES["features"].arrays(7)
    compiled(x)
    with pytest.raises(convir.ShapeError, match=r"f32\[7,3\]"):
        compiled.backward(np.ones((3, 3), "f4"))
    with pytest.raises(convir.ShapeError, match="takes 1 cotangents"):
        compiled.backward()


def test_training_in_tiles_takes_the_same_steps():
    """Three steps of gradient descent by hand, whole and in tiles."""
    weights = []
    for options in ({}, {"tile": 3, "threads": 2}):
        convir.manual_seed(0)
        model = WithMeanLoss()
        compiled = convir.compile(model, image(7), TensorType((7,), "int64"), **options)
        for seed in range(3):
            compiled(*CASES["mean loss"].arrays(7, seed))
            for name, gradient in compiled.backward().items():
                if name in dict(model.named_parameters()):
                    dict(model.named_parameters())[name].data -= np.float32(0.1) * gradient
        weights.append({name: parameter.data for name, parameter in model.named_parameters()})
    assert_same(weights[1], weights[0])
