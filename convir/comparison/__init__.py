"""Lowering strategies side by side: what the plan predicts, what the clock says, what it costs in digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from convir.comparison.contender import Contender, sample, take_turns
from convir.comparison.error import exact_results, layer_errors, relative_error
from convir.comparison.report import Comparison, ComparisonRow
from convir.comparison.rows import comparison_rows
from convir.compiler import as_graph, pipeline
from convir.frontend import nn, trace
from convir.ir import ConvirError, Graph, UnsupportedError
from convir.ir.ops import Conv2d
from convir.passes.dropout import RemoveDropout
from convir.passes.lower_conv import ConvLayer, strategy
from convir.passes.manager import Pass

__all__ = ["Comparison", "ComparisonRow", "ConvirError", "checked_lowerings", "compare", "trace"]


def compare(
    model: nn.Module | Callable[..., Any] | Graph,
    *specs: Any,
    lowerings: Sequence[str] = ("naive", "im2col"),
    backward: bool = False,
    repeats: int = 20,
    time_budget: float = 5.0,
) -> Comparison:
    """Compile a model under each lowering, run all on the same weights and inputs, and compare.

    The lowerings take turns (A B A B ...), so that a machine that gets slower or faster favours none.
    A lowering whose time budget is used up stops early, after one run at least; a first run that is
    followed by others is a warm-up and is not counted. Dropout is left out.

    Args:
        model: a module, a function of tensors, or a traced graph.
        specs: shape or TensorType of each input; a graph has its own and takes none.
        lowerings: names of the strategies to compare.
        backward: compare a forward and a backward run together instead of a forward run.
        repeats: counted runs of each lowering at most.
        time_budget: seconds that the runs of each lowering may take. The reference for the errors comes on
            top: one run in float64, by the loop nest if ``naive`` is compared.

    Raises:
        TraceError, ShapeError, DTypeError: the model cannot be traced with these shapes.
        UnsupportedError: an unknown lowering, one named twice, no lowering, ``repeats`` or ``time_budget``
            out of range, or ``backward`` of a model without gradients.
        MemoryLimitError: a memory plan is larger than the machine.
    """
    names = checked_lowerings(lowerings)
    _require_in_range(repeats, time_budget)
    graph = as_graph(model, specs)
    passes = {name: _passes(name, backward) for name in names}
    contenders = [Contender(name, graph, passes[name]) for name in names]
    if backward and contenders[0].compiled.backward_graph is None:
        raise UnsupportedError(f"backward=True, but there is nothing to differentiate {graph.name} by")
    inputs = [sample(value, index) for index, value in enumerate(graph.inputs)]
    cotangents = [sample(value, -1 - index) for index, value in enumerate(contenders[0].cotangents)]
    take_turns(contenders, inputs, cotangents, repeats, time_budget)
    reference = "naive" if "naive" in names else names[0]
    exact = exact_results(graph, _passes(reference, backward), inputs, cotangents)
    errors = layer_errors(graph, passes, backward)
    errors |= {(None, each.lowering): relative_error(each.results, exact) for each in contenders}
    return Comparison(
        graph=graph.name,
        inputs=tuple((value.name, str(value.type)) for value in graph.inputs),
        backward=backward,
        reference="float64 loop nest" if reference == "naive" else f"float64 {reference}",
        rows=comparison_rows(graph, contenders, errors),
        convolutions={node.name: ConvLayer.of([node]) for node in graph.nodes if isinstance(node.op, Conv2d)},
    )


def checked_lowerings(lowerings: Sequence[str]) -> list[str]:
    """The names in ``lowerings``; raises UnsupportedError unless each is known and there once."""
    names = [lowerings] if isinstance(lowerings, str) else list(lowerings)
    if not names:
        raise UnsupportedError("there is nothing to compare: lowerings is empty")
    for name in names:
        strategy(name)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UnsupportedError(f"each lowering is compared once, but lowerings names {', '.join(twice)} more than once")
    return names


def _require_in_range(repeats: int, time_budget: float) -> None:
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise UnsupportedError(f"repeats must be an integer of at least 1, got {repeats!r}")
    if not (time_budget > 0 and math.isfinite(time_budget)):
        raise UnsupportedError(f"time_budget must be a positive number of seconds, got {time_budget!r}")


def _passes(lowering: str, backward: bool) -> list[Pass]:
    """What :func:`convir.compile` runs, without dropout: random masks would differ."""
    return [RemoveDropout(), *pipeline(conv=lowering, wrt=None if backward else ())]
