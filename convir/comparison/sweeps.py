"""One number of a convolution varied: time against input size, scratch against batch, and where strategies cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from convir.comparison.contest import steps_of
from convir.comparison.layer import EVERY, compared, refusals
from convir.comparison.problem import checked_layer, same_padding
from convir.comparison.progress import progress_on
from convir.comparison.report import Comparison, LeftOut
from convir.comparison.settings import checked_lowerings, checked_settings
from convir.comparison.sweep_report import LeftOutAt, Sweep, SweepDetail, SweepPoint
from convir.ir import ConvirError, UnsupportedError
from convir.passes.lower_conv import ConvLayer


def sweep(
    layer: ConvLayer,
    over: str,
    values: Sequence[int] | None = None,
    *,
    lowerings: Sequence[str] | None = None,
    backward: bool = False,
    repeats: int = 10,
    time_budget: float = 1.0,
    backend: str = "numpy",
    threads: int | None = None,
    inference: bool = False,
    progress: bool | None = None,
) -> Sweep:
    """Compare the strategies of one convolution at several sizes of it.

    At each value the strategies take turns, as in :func:`convir.compare_layer`. A strategy has no point where it
    refuses the layer.

    Args:
        layer: from :func:`convir.conv_layer`, or one of :func:`convir.conv_layers`.
        over: what varies: ``size``, rows and columns of the image; ``batch``; ``kernel``, its rows and columns, where
            a padding that keeps the size goes along; or ``channels``, where filters go along in proportion, and
            groups where there is one for each channel.
        values: what it is, each once, in any order; None to choose around what the layer has.
        lowerings: names of the strategies to compare, ``auto`` and ``measure`` among them; None for all strategies and
            ``auto``.
        backward: a run is forward and both gradients, instead of forward alone.
        repeats: counted runs of each strategy at each value, at most.
        time_budget: seconds for each strategy at each value.
        backend, threads, inference, progress: see :func:`convir.compare`.

    Raises:
        UnsupportedError: ``layer`` is none, nothing that can vary is called so, a value out of range, a strategy that
            there is not, none that takes the layer; or see :func:`convir.compare`.
        ShapeError: a value with which sizes do not go together, such as an image smaller than the kernel.
        ConvirError: ``threads`` is not a positive integer.
    """
    layer = checked_layer("sweep", layer)
    names = checked_lowerings(EVERY if lowerings is None else lowerings)
    settings = checked_settings(backward, repeats, time_budget, backend, threads, inference)
    layers = varied(layer, over, values)
    refused = {value: refusals(each, names) for value, each in layers.items()}
    taking = {value: [name for name in names if name not in why] for value, why in refused.items()}
    if not any(taking.values()):
        reasons = {f"{name} {reason}": None for why in refused.values() for name, reason in why.items()}
        raise UnsupportedError(f"nothing that is named computes {layer} at any {over}: {'; '.join(reasons)}")
    with progress_on(progress) as shown:
        shown.expect(sum(steps_of(each, settings) for each in taking.values()))
        found = {
            value: compared(layers[value], each, refused[value], settings, shown)
            for value, each in taking.items()
            if each
        }
    return _report(layer, over, layers, found, refused)


def _report(
    layer: ConvLayer,
    over: str,
    layers: Mapping[int, ConvLayer],
    found: Mapping[int, Comparison],
    refused: Mapping[int, Mapping[str, str]],
) -> Sweep:
    absent = {value: [LeftOut(*each) for each in why.items()] for value, why in refused.items() if value not in found}
    absent |= {value: list(comparison.left_out) for value, comparison in found.items()}
    given = next((value for value in found if layers[value] == layer), max(found))
    same = found[given]
    return Sweep(
        over=over,
        layer=str(layer),
        points=tuple(SweepPoint(value, row) for value, each in found.items() for row in each.totals),
        backward=same.backward,
        left_out=tuple(LeftOutAt(value, each) for value in layers for each in absent[value]),
        backend=same.backend,
        threads=max(each.threads for each in found.values()),
        inference=same.inference,
        machine=same.machine,
        detail=SweepDetail(given, same),
    )


def varied(layer: ConvLayer, over: str, values: Sequence[int] | None = None) -> dict[int, ConvLayer]:
    """Value -> the layer with it, in ascending order."""
    if over not in AXES:
        raise UnsupportedError(f"there is no sweep over {over!r}; there are: {', '.join(AXES)}")
    change, usual = AXES[over]
    if values is None:
        return dict(_those_that_fit(layer, change, usual(layer)))
    chosen = list(values)
    if not chosen:
        raise UnsupportedError(f"there is nothing to sweep {over} over: values is empty")
    for value in chosen:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnsupportedError(f"a {over} of a sweep must be an integer of at least 1, got {value!r}")
    twice = sorted({value for value in chosen if chosen.count(value) > 1})
    if twice:
        raise UnsupportedError(f"each {over} is compared once, but values has {', '.join(map(str, twice))} twice")
    return {value: _checked(change(layer, value), over, value) for value in sorted(chosen)}


def _those_that_fit(
    layer: ConvLayer, change: Callable[[ConvLayer, int], ConvLayer], usual: Sequence[int]
) -> Sequence[tuple[int, ConvLayer]]:
    found = []
    for value in usual:
        try:
            found.append((value, _checked(change(layer, value), "", value)))
        except ConvirError:  # larger than the image, no multiple of the groups
            continue
    return found


def _checked(layer: ConvLayer, over: str, value: int) -> ConvLayer:
    """The layer, if there is such a one."""
    try:
        layer.op.infer(layer.image, layer.weight)
    except ConvirError as error:
        raise type(error)(f"with a {over} of {value}: {error.message}") from None
    return layer


def _with_size(layer: ConvLayer, size: int) -> ConvLayer:
    return replace(layer, image=layer.image.with_shape((*layer.image.shape[:2], size, size)))


def _with_kernel(layer: ConvLayer, kernel: int) -> ConvLayer:
    op = layer.op
    taps = (kernel, kernel)
    if _keeps_size(layer):
        op = replace(op, padding=same_padding(taps, op.dilation))
    return replace(layer, op=op, weight=layer.weight.with_shape((*layer.weight.shape[:2], *taps)))


def _keeps_size(layer: ConvLayer) -> bool:
    extents = [d * (k - 1) for k, d in zip(layer.weight.shape[2:], layer.op.dilation, strict=True)]
    return [2 * padding for padding in layer.op.padding] == extents


def _with_channels(layer: ConvLayer, channels: int) -> ConvLayer:
    count, had, *size = layer.image.shape
    filters, _, *taps = layer.weight.shape
    op = replace(layer.op, groups=channels) if layer.op.groups == had and had > 1 else layer.op
    if channels % op.groups or (filters * channels) % had or (filters * channels // had) % op.groups:
        raise UnsupportedError(
            f"with {channels} channels: {filters} filters for {had} channels and groups={layer.op.groups} do not "
            "come to whole numbers; choose a multiple"
        )
    return replace(
        layer,
        op=op,
        image=layer.image.with_shape((count, channels, *size)),
        weight=layer.weight.with_shape((filters * channels // had, channels // op.groups, *taps)),
    )


def _halves_and_doubles(middle: int) -> list[int]:
    """A quarter to twice as much, whole numbers, each once."""
    return sorted({max(1, middle // 4), max(1, middle // 2), middle, 2 * middle})


#: What can vary: how, and the values that are usual for a layer.
AXES: dict[str, tuple[Callable[[ConvLayer, int], ConvLayer], Callable[[ConvLayer], Sequence[int]]]] = {
    "size": (_with_size, lambda layer: _halves_and_doubles(layer.image.shape[2])),
    "batch": (ConvLayer.with_batch, lambda layer: sorted({1, 2, 4, 8, 16, layer.image.shape[0]})),
    "kernel": (_with_kernel, lambda layer: sorted({1, 3, 5, 7, 9, layer.weight.shape[2]})),
    "channels": (_with_channels, lambda layer: _halves_and_doubles(layer.image.shape[1])),
}
