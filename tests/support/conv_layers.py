"""Convolutions by themselves: the shared cases as layers, which strategies take them, and what runs of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from convir.ir import TensorType
from convir.passes.lower_conv import STRATEGIES, ConvLayer, Strategy, im2col_tiled
from support.conv_cases import CONV_CASES, ConvCase, conv_cases

#: None, each and both.
GRADIENTS = ((), ("image",), ("weight",), ("image", "weight"))

#: All that have names, and one whose blocks are a few columns.
EVERY_STRATEGY = {each.name: each for each in (*STRATEGIES, im2col_tiled(700))}


def layer_of(
    case: ConvCase, gradients: tuple[str, ...] = (), frozen: bool = False, dtype: str = "float32"
) -> ConvLayer:
    """The case as a problem by itself."""
    image, weight = (TensorType(case.shapes[name], dtype) for name in ("x", "w"))
    return ConvLayer(case.op, image, weight, case.bias, gradients, frozen)


def takes(strategy: Strategy, layer: ConvLayer) -> bool:
    return strategy.refuses(layer.op, layer.image, layer.weight) is None


def cases_for(strategy: Strategy) -> Iterator[ConvCase]:
    """The shared cases that the strategy takes."""
    return (case for case in CONV_CASES.values() if takes(strategy, layer_of(case)))


def fitted(strategy: Strategy, case: ConvCase) -> ConvCase:
    """The case, changed where the strategy would refuse it."""
    if strategy.name == "pointwise":
        return replace(case, kernel=(1, 1))
    if strategy.name == "depthwise":
        return replace(case, channels=case.groups)
    if strategy.name.startswith("winograd"):
        longer = any(r > s for r, s in zip(case.kernel, case.stride, strict=True))
        kernel = case.kernel if longer else (case.kernel[0], case.stride[1] + 1)
        size = tuple(max(n, r) for n, r in zip(case.size, kernel, strict=True))
        return replace(case, size=size, kernel=kernel, dilation=(1, 1))
    return case


@st.composite
def layers(draw: st.DrawFn, strategy: Strategy) -> ConvLayer:
    """Any small convolution that the strategy takes, with any gradients, frozen or not."""
    layer = layer_of(fitted(strategy, draw(conv_cases())), draw(st.sampled_from(GRADIENTS)), draw(st.booleans()))
    assume(takes(strategy, layer))
    return layer
