"""What a model of the machine expects of a contender, and what that machine can do at most."""

from __future__ import annotations

from collections.abc import Mapping

from convir.comparison.contender import Contender, origin_of
from convir.comparison.report import Roofline
from convir.ir import Graph, Node
from convir.runtime import machine_bytes
from convir.selection import Figures, figures_for
from convir.selection.roofline import predict_nodes


def predicted_seconds(contender: Contender) -> Mapping[str | None, float | None]:
    """Layer, or None for all of them, -> the seconds that a run is expected to take, before anything runs.

    Each lowered node counts for the layer that it computes a part of, transforms of parameters too where they are
    executed. None for what runs Python of which nothing is known, such as the loop nest; nothing for what does not
    fit the machine.
    """
    program = contender.compiled.program
    if program.memory.peak_bytes > machine_bytes():
        return {}
    figures = _figures(contender)
    layers: dict[str, list[Node]] = {}
    for node in (node for graph in program.graphs for node in graph.nodes):
        layers.setdefault(origin_of(node), []).append(node)
    found: dict[str | None, float | None] = {}
    for layer, nodes in layers.items():
        expected = predict_nodes(nodes, program.kernels, figures)
        found[layer] = None if expected is None else expected.seconds
    known = [seconds for seconds in found.values() if seconds is not None]
    found[None] = sum(known) if len(known) == len(layers) else None
    return found


def ceilings(contender: Contender) -> Roofline:
    """The best matrix product and the fastest copies of those that were measured on this machine."""
    figures = _figures(contender)
    return Roofline(figures.peak_gflops, figures.copy_gbytes[-1], max(figures.copy_gbytes))


def _figures(contender: Contender) -> Figures:
    compiled = contender.compiled
    return figures_for(compiled.program.kernels, compiled.division.lane_threads, element_type(compiled.program.model))


def element_type(graph: Graph) -> str:
    """Of the parameters, or of the inputs where there are none that are numbers with a point."""
    types = (value.type for value in (*graph.params, *graph.inputs))
    return next((type.dtype for type in types if type.is_float), "float32")
