"""What the page says in words: what was compared, how the figures are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from convir.common.markup import Markup, tag
from convir.common.version import __version__
from convir.comparison.page.text import ABOUT, capitalised, three_digits
from convir.comparison.page.view import REPLACED, View
from convir.comparison.words import engine, listed, phase
from convir.runtime.machine import Machine

if TYPE_CHECKING:
    from convir.comparison.sweep_report import Sweep


def comparison_facts(view: View) -> Markup:
    """What was compared, on what, when and with what."""
    comparison = view.comparison
    inputs = ", ".join(f"{name}: {type}" for name, type in comparison.inputs)
    what = {"Layer": comparison.layer} if comparison.layer else {"Model": f"{comparison.graph}({inputs})"}
    given = what | {
        "Run": phase(comparison),
        "Run by": engine(comparison),
        "Counted": ", ".join(f"{row.lowering} {row.runs}" for row in comparison.totals),
        "Errors against": comparison.reference,
        **_circumstances(comparison.machine),
    }
    if comparison.roofline:
        roof = comparison.roofline
        given["Ceilings"] = (
            f"{three_digits(roof.gflops)} GFLOP/s; {three_digits(roof.gbytes)} GB/s of memory, "
            f"{three_digits(roof.cached_gbytes)} GB/s of caches"
        )
    return _facts(given)


def sweep_facts(sweep: Sweep) -> Markup:
    """What was swept, on what, when and with what."""
    given = {
        "Layer": sweep.layer,
        capitalised(sweep.over): ", ".join(map(str, sweep.values)),
        "Run": phase(sweep),
        "Run by": engine(sweep),
        **_circumstances(sweep.machine),
    }
    return _facts(given)


def _circumstances(machine: Machine) -> Mapping[str, str]:
    caches = ", ".join(f"{name} {size}" for name, size in machine.caches)
    return {
        "Machine": f"{machine.cpu}, {machine.cpus} CPUs{caches and f' ({caches})'}; {machine.system}",
        "Software": f"convir {__version__}, Python {machine.python}, NumPy {machine.numpy} with {machine.blas}",
        "Written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
    }


def _facts(given: Mapping[str, str]) -> Markup:
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in given.items()), class_="facts")


def conventions(view: View) -> Markup:
    """How the figures are meant."""
    comparison = view.comparison
    layered = [] if comparison.layer else _OF_LAYERS
    said = [
        "Time: the median of the counted runs, with quartiles. The lowerings take turns, in another order each time, "
        "so that neither a machine that gets slower nor what the one before left in the caches favours any.",
        "FLOPs and multiplications: as lowered, what is executed; 1 MAC = 2 FLOPs.",
        "Scratch: what a layer holds only while it runs, such as patch matrices, padded copies and workspaces. Peak: "
        "most bytes of the arena in use while it runs; of all, the arena itself. Both are from the memory plan, and "
        "exactly that is allocated.",
        f"Error: the largest difference from the {comparison.reference}, over its largest element.",
        *layered,
    ]
    rows = comparison.rows
    if any(row.predicted_seconds is not None for row in rows):
        said.append(_PREDICTED)
    if comparison.inference:
        said.append("Weights: bytes of the parameters as they were folded, beside the arena.")
    if view.replaced:
        said.append(f"{REPLACED}: the lowering refuses the layer, and another computes it.")
    if any(row.extrapolated_from is not None for row in rows):
        said.append(_EXTRAPOLATED)
    return tag("ul", *(tag("li", each) for each in said))


_OF_LAYERS = [
    "A run of the whole net is timed step by step; a layer's time is that of its steps. Its error, and what is "
    "allocated for it, are its own, of the layer by itself.",
    "Layers without convolution run the same kernels: they differ by layout changes, and by what a neighbour leaves in "
    "the caches.",
]
_PREDICTED = (
    "Predicted: by a model of this machine, from the products and copies that a run will make and the rates that the "
    "machine reaches with such; nothing is predicted of explicit Python loops."
)
_EXTRAPOLATED = f"{ABOUT}: the whole batch would take longer than the time budget; scaled up from a part of it."


def sweep_conventions(sweep: Sweep) -> Markup:
    """What of a sweep's figures must be known where no comparison beneath says it."""
    rows = [point.row for point in sweep.points]
    said = [_PREDICTED] if any(row.predicted_seconds is not None for row in rows) else []
    said += [_EXTRAPOLATED] if any(row.extrapolated_from is not None for row in rows) else []
    return tag("div", *(tag("p", each, class_="note") for each in said))


def absences(said: Sequence[str]) -> Markup:
    """Sentences on what was chosen, or is not there and why; nothing where there are none."""
    return tag("ul", *(tag("li", each) for each in said), class_="absences") if said else Markup()


def refusals(view: View) -> Markup:
    """Which lowerings left layers to others, and why; nothing where none did."""
    items = []
    for name, rows in view.replaced.items():
        reasons: dict[str, list[str]] = {}
        for row in rows:
            reasons.setdefault(view.reason(row), []).append(str(row.layer))
        items += [tag("li", tag("b", name), f" {why}: {listed(layers)}") for why, layers in reasons.items()]
    if not items:
        return Markup()
    count = sum(map(len, view.replaced.values()))
    said = f"{REPLACED} {count} times a lowering refuses a layer, and another computes it: why"
    return tag("details", tag("summary", said), tag("ul", *items), class_="refusals")
