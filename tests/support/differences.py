"""Gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from convir.ir import Graph
from support.graphs import joint, results

STEP = 1e-6


def central_difference(function: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """The gradient of ``function`` by ``array``, which it reads; one element at a time."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + STEP
        above = function()
        array[index] = before - STEP
        below = function()
        array[index] = before
        gradient[index] = (above - below) / (2 * STEP)
    return gradient


def assert_gradients(graph: Graph, given: Mapping[str, np.ndarray], tolerance: float = 1e-6) -> None:
    """The differentiation pass agrees with central differences, for all floating-point inputs (float64)."""
    whole = joint(graph)
    rng = np.random.default_rng(1)
    cotangents = {v.name: rng.standard_normal(v.type.shape) for v in whole.inputs[len(graph.inputs) :]}
    arrays = {name: np.array(array) for name, array in given.items()}
    found = results(whole, {**arrays, **cotangents})[len(graph.outputs) :]
    floats = [value for value in graph.outputs if value.type.is_float]

    def weighted() -> float:
        outputs = [y for y, v in zip(results(graph, arrays), graph.outputs, strict=True) if v in floats]
        return sum(float(np.sum(y * c)) for y, c in zip(outputs, cotangents.values(), strict=True))

    targets = [v.name for v in (*graph.params, *graph.inputs) if v.type.is_float]
    assert len(found) == len(targets)
    for name, gradient in zip(targets, found, strict=True):
        expected = central_difference(weighted, arrays[name])
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * scale, err_msg=name)
