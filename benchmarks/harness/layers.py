"""A traced model as a plain list of layers, from which the other engines build the same model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from convir import Graph


class Layer(NamedTuple):
    """One op of the model.

    Attributes:
        kind: convir's name of the op: ``conv2d``, ``relu``, ``max_pool2d``, ``flatten``, ``matmul``.
        parameters: names of its weights, as in the state dict.
        attributes: the op's attributes, as convir calls them.
    """

    kind: str
    parameters: tuple[str, ...]
    attributes: dict[str, Any]


def layers_of(graph: Graph) -> list[Layer]:
    """The nodes of a graph that is a chain, each a function of the one before and of parameters.

    Raises:
        ValueError: the graph is no such chain.
    """
    layers, before = [], graph.inputs[0].name
    for node in graph.nodes:
        data, *weights = (value.name for value in node.inputs)
        if data != before or not set(weights) <= set(graph.bindings):
            raise ValueError(f"{node.outputs[0].name} does not take {before} and parameters: the model is no chain")
        layers.append(Layer(node.op.name, tuple(weights), asdict(node.op)))
        before = node.outputs[0].name
    return layers


def require_linear(layer: Layer) -> None:
    """Raises ValueError unless a ``matmul`` layer is ``x @ weight.T + bias``, as a linear layer is."""
    if layer.attributes["transpose_a"] or not layer.attributes["transpose_b"] or layer.attributes["activation"]:
        raise ValueError(f"{layer.parameters}: not a linear layer")
