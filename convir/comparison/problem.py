"""What is compared: a model, or one convolution by itself, for any batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from convir.common.table import format_bytes
from convir.compiler import as_graph
from convir.frontend import nn
from convir.ir import Graph, MemoryLimitError, TensorType, UnsupportedError
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import ConvLayer
from convir.passes.lower_conv.layer import BIAS, WEIGHT
from convir.runtime import machine_bytes
from convir.selection.trial import Fixed, random_parameters
from convir.tiling import with_batch

#: A size for rows and columns, or one for each.
Size = int | tuple[int, int]


class Problem(Protocol):
    """Something to compute, for a batch of samples."""

    @property
    def graph(self) -> Graph:
        """For the whole batch."""

    @property
    def batch(self) -> int:
        """Samples of the whole batch."""

    def at(self, samples: int) -> Graph:
        """For another batch; raises ConvirError where there is none."""


@dataclass(frozen=True)
class ModelProblem:
    """A traced model."""

    graph: Graph

    @property
    def batch(self) -> int:
        """Rows of the first input that has any."""
        return next((value.type.shape[0] for value in self.graph.inputs if value.type.rank), 1)

    def at(self, samples: int) -> Graph:
        """Raises UnsupportedError where the model does not treat each sample by itself."""
        return self.graph if samples == self.batch else with_batch(self.graph, samples)


@dataclass(frozen=True)
class LayerProblem:
    """A convolution and nothing else, with the layout in which it stands between other layers.

    Attributes:
        layer: the convolution.
        parameters: what its weight and bias are; None for random ones.
    """

    layer: ConvLayer
    parameters: Mapping[str, Any] | None = None

    @cached_property
    def graph(self) -> Graph:
        """For the layer's own batch."""
        return self.at(self.batch)

    @property
    def batch(self) -> int:
        """Images."""
        return self.layer.image.shape[0]

    def at(self, samples: int) -> Graph:
        """The same weights, whatever the batch."""
        return self.layer.with_batch(samples).alone(self._bound)

    @cached_property
    def _bound(self) -> Mapping[str, Any]:
        _require_memory(self.layer)
        return self.parameters or random_parameters(self.layer, self.layer.weight.dtype)


def _require_memory(layer: ConvLayer) -> None:
    """Raise MemoryLimitError where the machine cannot even hold what a convolution reads and writes."""
    needed = layer.image.nbytes + layer.weight.nbytes + layer.result.nbytes
    if needed > machine_bytes():
        raise MemoryLimitError(
            f"the image, the weight and the result of {layer} take {format_bytes(needed)}, and this machine has "
            f"{format_bytes(machine_bytes())}"
        )


def layers_of(graph: Graph) -> dict[str, LayerProblem]:
    """The convolutions of a traced graph by name, each by itself, with the model's own weights."""
    return {node.name: _by_itself(graph, node) for node in graph.nodes if isinstance(node.op, Conv2d)}


def _by_itself(graph: Graph, node: Any) -> LayerProblem:
    held = [graph.bindings.get(value.name) for value in node.inputs[1:]]
    if any(parameter is None for parameter in held):  # computed by the model
        return LayerProblem(ConvLayer.of([node]))
    bound = {name: Fixed(parameter.data) for name, parameter in zip((WEIGHT, BIAS), held, strict=False)}  # type: ignore[union-attr]
    return LayerProblem(ConvLayer.of([node]), bound)


def conv_layers(model: nn.Module | Callable[..., Any] | Graph, *specs: Any) -> dict[str, ConvLayer]:
    """The convolutions of a model by name, as problems for :func:`convir.compare_layer` and :func:`convir.sweep`.

    Args:
        model: a module, a function of tensors, or a traced graph.
        specs: shape or TensorType of each input; a graph has its own and takes none.

    Raises:
        TraceError, ShapeError, DTypeError: the model cannot be traced with these shapes.
    """
    return {name: problem.layer for name, problem in layers_of(as_graph(model, specs)).items()}


def conv_layer(
    channels: int,
    filters: int,
    kernel: Size,
    size: Size,
    *,
    batch: int = 1,
    stride: Size = 1,
    padding: Size | str = "same",
    dilation: Size = 1,
    groups: int = 1,
    bias: bool = False,
    dtype: str = "float32",
) -> ConvLayer:
    """A convolution as a problem, for :func:`convir.compare_layer` and :func:`convir.sweep`.

    Args:
        channels: of the image, C.
        filters: how many, O: channels of the result.
        kernel: rows and columns of the kernel, K.
        size: rows and columns of the image, H.
        batch: images, N.
        stride: S.
        padding: rows and columns of zeros on each side, P; ``same`` for D (K - 1) / 2, with which stride 1 keeps the
            size of the image.
        dilation: D.
        groups: parts into which channels and filters are divided; ``channels`` for a depthwise convolution.
        bias: whether a bias is added.
        dtype: ``float32`` or ``float64``.

    Raises:
        ShapeError: sizes that do not go together, such as a kernel larger than the padded image.
        UnsupportedError: a size out of range, or ``same`` for a kernel of even size.
    """
    for name, given in (("channels", channels), ("filters", filters), ("batch", batch), ("groups", groups)):
        _require_positive(name, given)
    pairs = {"kernel": kernel, "size": size, "stride": stride, "dilation": dilation}
    kernels, sizes, strides, dilations = (_pair(name, given) for name, given in pairs.items())
    if channels % groups or filters % groups:
        raise UnsupportedError(f"groups={groups} must divide channels and filters, which are {channels} and {filters}")
    margins = same_padding(kernels, dilations) if padding == "same" else _pair("padding", padding, least=0)
    op = Conv2d(strides, margins, dilations, groups)
    image = TensorType((batch, channels, *sizes), dtype)
    weight = TensorType((filters, channels // groups, *kernels), dtype)
    if not image.is_float:
        raise UnsupportedError(f"dtype must be float32 or float64, got {dtype!r}")
    op.infer(image, weight)
    return ConvLayer(op, image, weight, biased=bool(bias))


def checked_layer(callee: str, layer: Any) -> ConvLayer:
    """``layer``; raises UnsupportedError where ``callee`` was given something else, such as the name of one."""
    if isinstance(layer, ConvLayer):
        return layer
    name, given = (repr(layer), repr(layer)) if isinstance(layer, str) else ("name", f"a {type(layer).__name__}")
    raise UnsupportedError(
        f"{callee} takes a convolution, convir.conv_layer(...) by its sizes or "
        f"convir.conv_layers(model, shape)[{name}] of a model; not {given}"
    )


def same_padding(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """The padding with which stride 1 keeps the size; raises UnsupportedError for a kernel that has no middle."""
    extents = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(extent % 2 for extent in extents):
        raise UnsupportedError(
            f"padding='same' needs as much on both sides, and a kernel of {kernel[0]}x{kernel[1]} has no middle; "
            "say how much, such as padding=0"
        )
    return extents[0] // 2, extents[1] // 2


def _pair(name: str, given: Any, least: int = 1) -> tuple[int, int]:
    pair = tuple(given) if isinstance(given, (tuple, list)) else (given, given)
    if len(pair) != 2:
        raise UnsupportedError(f"{name} is a number, or two for rows and columns, got {given!r}")
    for each in pair:
        _require_positive(name, each, least)
    return int(pair[0]), int(pair[1])


def _require_positive(name: str, given: Any, least: int = 1) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise UnsupportedError(f"{name} must be an integer of at least {least}, got {given!r}")
