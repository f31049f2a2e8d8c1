"""What rounding costs a strategy, measured on random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from convir.ir import TensorType
from convir.passes.lower_conv import ConvLayer, Strategy, strategy
from convir.runtime import NUMPY, KernelSet
from convir.runtime.kernels import Array
from convir.selection.trial import Bench, Trial, random_parameters

#: Computes what errors are relative to.
REFERENCE = "im2col"


class Rounding:
    """The errors of strategies for one image of a layer, with the gradients that are asked for, against float64.

    Without an activation: a sum that rounds to the other side of 0 would make a gradient of it something else. The
    gradient of a weight sums over all images, so that of a large batch has rounded more.

    It holds the exact results; who measures several strategies keeps it as long.
    """

    def __init__(self, layer: ConvLayer) -> None:
        self.layer = replace(layer.with_batch(1), op=replace(layer.op, activation=None))

    def error(self, candidate: Strategy, kernels: KernelSet) -> float | None:
        """The relative error; None where there are elements that are no numbers."""
        parameters = random_parameters(self.layer, self.layer.image.dtype)
        bench = Bench(Trial.of(self.layer, candidate, kernels, parameters))
        return relative_error(bench.results(), self._exact)

    @cached_property
    def _exact(self) -> tuple[Array, ...]:
        image, weight = _wide(self.layer.image), _wide(self.layer.weight)
        wide = replace(self.layer, image=image, weight=weight)
        return Bench(Trial.of(wide, strategy(REFERENCE), NUMPY, random_parameters(self.layer, "float64"))).results()


def relative_error(results: Sequence[Array], exact: Sequence[Array]) -> float | None:
    """The largest difference of any result from the exact one, over the exact one's largest element.

    None where a result or an exact one has elements that are no numbers.
    """
    errors = [_distance(result, other) for result, other in zip(results, exact, strict=True)]
    return float(max(errors, default=0.0)) if np.all(np.isfinite(errors)) else None


def _distance(result: Array, exact: Array) -> float:
    if not (np.isfinite(result).all() and np.isfinite(exact).all()):
        return np.inf
    scale = np.abs(exact).max()
    return float(np.abs(result.astype(exact.dtype) - exact).max() / (scale or 1.0))


def _wide(type: TensorType) -> TensorType:
    return TensorType(type.shape, "float64")
