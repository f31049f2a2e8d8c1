"""The lowerings of one convolution side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from convir.comparison.contest import hold, steps_of
from convir.comparison.models import named_reference
from convir.comparison.prediction import ceilings
from convir.comparison.problem import LayerProblem, checked_layer
from convir.comparison.progress import Progress, progress_on
from convir.comparison.report import Comparison, LeftOut
from convir.comparison.rows import whole_rows
from convir.comparison.settings import Settings, checked_lowerings, checked_settings
from convir.ir import UnsupportedError
from convir.passes.lower_conv import STRATEGIES, ConvLayer, LowerConv
from convir.passes.lower_conv.choice import CHOOSERS
from convir.passes.lower_conv.layer import IMAGE, RESULT

#: What a layer is compared under unless told otherwise: every strategy, and who chooses without trying them.
EVERY = (*(each.name for each in STRATEGIES), "auto")


def compare_layer(
    layer: ConvLayer,
    *,
    lowerings: Sequence[str] | None = None,
    backward: bool = False,
    repeats: int = 20,
    time_budget: float = 5.0,
    backend: str = "numpy",
    threads: int | None = None,
    inference: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Run one convolution under each strategy that takes it, on the same random numbers, and compare.

    The layer stands by itself, in the layout that it has between other layers; everything else is as in
    :func:`convir.compare`. There are as many rows as lowerings, and again as the whole of a net of one layer. What a
    strategy allocates is what its plan predicts: ``row.allocated_bytes == row.peak_bytes``.

    Args:
        layer: from :func:`convir.conv_layer`, or one of :func:`convir.conv_layers`.
        lowerings: names of the strategies to compare, ``auto`` and ``measure`` among them; None for all strategies and
            ``auto``. Those that refuse the layer are in :attr:`Comparison.left_out`, with the reason.
        backward: compare a forward run and both gradients together instead of a forward run.
        repeats, time_budget, backend, threads, inference, progress: see :func:`convir.compare`.

    Raises:
        UnsupportedError: ``layer`` is none, no strategy that is named takes it; or see :func:`convir.compare`.
        ConvirError: ``threads`` is not a positive integer.
        MemoryLimitError: the memory plans of all strategies are larger than the machine.
    """
    layer = checked_layer("compare_layer", layer)
    names = checked_lowerings(EVERY if lowerings is None else lowerings)
    settings = checked_settings(backward, repeats, time_budget, backend, threads, inference)
    refused = refusals(layer, names)
    taking = [name for name in names if name not in refused]
    if not taking:
        reasons = "; ".join(f"{name} {reason}" for name, reason in refused.items())
        raise UnsupportedError(f"nothing that is named computes {layer}: {reasons}")
    with progress_on(progress) as shown:
        shown.expect(steps_of(taking, settings))
        return compared(layer, taking, refused, settings, shown)


def compared(
    layer: ConvLayer, names: Sequence[str], refused: Mapping[str, str], settings: Settings, shown: Progress
) -> Comparison:
    """The comparison of the strategies called ``names``, which take the layer, beside those that refuse it, and why."""
    contest = hold(LayerProblem(layer), names, settings, shown)
    totals = list(whole_rows(contest))
    return Comparison(
        graph="conv2d",
        inputs=((IMAGE, str(layer.image)),),
        backward=settings.backward,
        reference=named_reference(contest),
        rows=(*(replace(row, layer=RESULT, op=layer.op.name) for row in totals), *totals),
        roofline=ceilings(contest.entrants[0].whole),
        convolutions={RESULT: layer},
        backend=settings.backend,
        threads=contest.threads,
        inference=settings.inference,
        left_out=(*(LeftOut(name, reason) for name, reason in refused.items()), *contest.left_out),
        layer=str(layer),
    )


def refusals(layer: ConvLayer, names: Sequence[str]) -> dict[str, str]:
    """Which of the strategies cannot compute the layer, and why."""
    graph = layer.alone()
    refused = {name: LowerConv(name).lowering(graph).refused for name in names if name not in CHOOSERS}
    return {name: rows[0].reason.removeprefix(f"{name} ") for name, rows in refused.items() if rows}
