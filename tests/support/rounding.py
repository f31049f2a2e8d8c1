"""Results in float32 against the loop nest in float64, and what they may differ by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convir.passes.lower_conv import LowerConv, Strategy
from convir.passes.lower_conv.bounds import summed, unit_roundoff
from support.conv_cases import ConvCase
from support.conv_layers import layer_of
from support.graphs import joint, results

Arrays = Mapping[str, np.ndarray]

#: So many multiply-accumulates take the loop nest a second.
MANY_MACS = 50_000

#: How operands are drawn: around zero, and all positive, where sums are as large as they can be.
DRAWS = ("normal", "positive")


def values_of(case: ConvCase, seed: int = 0, draw: str = "normal") -> dict[str, np.ndarray]:
    """Operands ``x``, ``w``, ``b`` and cotangent ``y.grad`` in float32."""
    rng = np.random.default_rng(seed)
    types = {value.name: value.type for value in joint(case.graph("float32")).inputs}
    if draw == "normal":
        return {name: rng.standard_normal(type.shape, "float32") for name, type in types.items()}
    return {name: rng.uniform(0.5, 1, type.shape).astype("float32") for name, type in types.items()}


def exact_parts(case: ConvCase, values: Arrays) -> dict[str, np.ndarray]:
    """Result and gradients of image and weight in float64: by the loop nest, or by im2col where that takes minutes."""
    graph = joint(case.graph("float64"))
    if graph.outputs[0].type.size * layer_of(case).taps > MANY_MACS:
        graph = LowerConv("im2col")(graph)
    y, dx, dw = results(graph, {name: array.astype("float64") for name, array in values.items()})[:3]
    return {"result": y, "image": dx, "weight": dw}


def scales(case: ConvCase, values: Arrays) -> dict[str, float]:
    """What the bounds of a layer are multiples of, see convir.passes.lower_conv.bounds."""
    x, w, dy = (np.abs(values[name].astype("float64")) for name in ("x", "w", "y.grad"))
    bias = np.abs(values["b"]).max() if case.bias else 0
    grouped = w.reshape(case.groups, case.filters // case.groups, *w.shape[1:])
    return {
        "result": x.max() * w.sum((1, 2, 3)).max() + float(bias),
        "image": dy.max() * grouped.sum((1, 3, 4)).max(),
        "weight": x.max() * dy.sum((0, 2, 3)).max(),
    }


def excess(strategy: Strategy, case: ConvCase, found: Arrays, values: Arrays) -> dict[str, float]:
    """The largest error of each part over what it may be: at most 1.

    The reference in float64 rounds, too, some 10^9 times less.
    """
    layer = layer_of(replace(case, activation=None))
    bounds, of_the_nest = strategy.error_bound(layer, unit_roundoff("float32")), summed(layer, unit_roundoff("float64"))
    exact, scale = exact_parts(case, values), scales(case, values)
    allowed = {part: (getattr(bounds, part) + getattr(of_the_nest, part)) * scale[part] for part in found}
    return {part: float(np.abs(array - exact[part]).max()) / allowed[part] for part, array in found.items()}
