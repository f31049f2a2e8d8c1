"""``convir compare``: a model, one layer, or one layer at several sizes."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from convir.cli.commands import note
from convir.cli.inputs import traced
from convir.cli.sizes import given, is_layer, layer_sizes
from convir.ir import UnsupportedError

#: What ``--sweep`` takes: the keys of ``convir.comparison.sweeps.AXES``, without importing it for ``--help``.
SWEEPS = ("size", "batch", "kernel", "channels")

#: Options that say what a ``--layer C,O,K,H`` is, and what of a run there is to say.
_OF_LAYER = ("batch", "stride", "padding", "dilation", "groups")
_OF_RUN = ("repeats", "time_budget", "threads")


def compare(args: Namespace) -> Any:
    """Lowerings side by side."""
    _require_what_goes_together(args)
    if args.layer is None:
        return _model(args)
    layer = _by_itself(args) if is_layer(args.layer) else _of_model(args)
    return _layer(layer, args) if args.sweep is None else _sweep(layer, args)


def _model(args: Namespace) -> Any:
    from convir.comparison import checked_lowerings, compare
    from convir.comparison.models import usual_lowerings

    _require_writable(args)
    graph = traced(args)
    named = _names(args)
    names = usual_lowerings(graph)[0] if named is None else checked_lowerings(named)
    note(f"comparing {', '.join(names)} on {graph.name} ...")
    return _drawn(compare(graph, lowerings=named, **_run(args)), args)


def _layer(layer: Any, args: Namespace) -> Any:
    from convir.comparison import compare_layer

    _require_writable(args)
    note(f"comparing {layer} ...")
    return _drawn(compare_layer(layer, lowerings=_names(args), **_run(args)), args)


def _sweep(layer: Any, args: Namespace) -> Any:
    from convir.comparison import sweep

    if args.plot is not None:
        raise UnsupportedError("--plot draws one comparison, and a --sweep is several: write a page of it with --html")
    _require_writable(args)
    note(f"comparing {layer} by {args.sweep} ...")
    return _drawn(sweep(layer, args.sweep, args.values, lowerings=_names(args), **_run(args)), args)


def _by_itself(args: Namespace) -> Any:
    """The convolution that ``--layer C,O,K,H`` and its options are."""
    from convir.comparison import conv_layer

    if args.model is not None:
        raise UnsupportedError(
            f"--layer {args.layer} is a convolution by itself, and {args.model} a model: leave out one, or name a "
            "layer of the model"
        )
    if args.input:
        raise UnsupportedError(f"--input is for a model; the images of --layer {args.layer} are its H and --batch")
    channels, filters, kernel, image = layer_sizes(args.layer)
    return conv_layer(channels, filters, kernel, image, **given(args, (*_OF_LAYER, "dtype")))


def _of_model(args: Namespace) -> Any:
    """The convolution of the model that ``--layer NAME`` is."""
    from convir.comparison import conv_layers

    if args.model is None:
        raise UnsupportedError(
            f"--layer {args.layer} is a layer of which model? Write convir compare MODEL --layer {args.layer}, or four "
            "sizes, --layer C,O,K,H"
        )
    excess = given(args, _OF_LAYER)
    if excess:
        options = ", ".join(f"--{name}" for name in excess)
        raise UnsupportedError(f"{args.layer} of {args.model} has what {options} would say; the batch is in --input")
    graph = traced(args)
    layers = conv_layers(graph)
    modules = {node.scope: node.name for node in reversed(graph.nodes) if node.name in layers}
    name = args.layer if args.layer in layers else modules.get(args.layer)
    if name is None:
        there = ", ".join(layers) or "none"
        raise UnsupportedError(f"{args.model} has no convolution {args.layer!r}; there are: {there}")
    return layers[name]


def _require_what_goes_together(args: Namespace) -> None:
    if args.values is not None and args.sweep is None:
        raise UnsupportedError("--values are those of a --sweep; say what varies, such as --sweep size")
    if args.layer is not None:
        return
    if args.model is None:
        raise UnsupportedError("there is nothing to compare: name a MODEL, or a convolution by --layer C,O,K,H")
    excess = [f"--{name}" for name in (*given(args, _OF_LAYER), *given(args, ("sweep",)))]
    if excess:
        raise UnsupportedError(f"{', '.join(excess)} is for one convolution: say which by --layer C,O,K,H or NAME")


def _run(args: Namespace) -> dict[str, Any]:
    return {"backward": args.backward, "inference": args.inference, "backend": args.backend} | given(args, _OF_RUN)


def _names(args: Namespace) -> list[str] | None:
    """None where none were named; a list that names none is one that cannot be had."""
    if args.lowerings is None:
        return None
    return [name.strip() for name in args.lowerings.split(",") if name.strip()]


def _require_writable(args: Namespace) -> None:
    from convir.comparison.page import require_page
    from convir.comparison.plot import require_plottable

    if args.plot is not None:
        require_plottable(args.plot)
    if args.html is not None:
        require_page(args.html)


def _drawn(report: Any, args: Namespace) -> Any:
    if args.plot is not None:
        note(f"plot: {report.plot(args.plot)}")
    if args.html is not None:
        note(f"page: {report.to_html(args.html)}")
    return report
