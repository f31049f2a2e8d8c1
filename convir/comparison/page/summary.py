"""What the page says in words: the verdict, what was compared, how the figures are meant."""

from __future__ import annotations

from collections.abc import Iterator

from convir.common.markup import Markup, tag
from convir.comparison.page import text
from convir.comparison.page.view import ABOUT, REPLACED, View, overlap, time_of
from convir.comparison.report import ComparisonRow


def verdict(view: View) -> str:
    """Which lowering is the fastest and by how much, what it costs, and whether that may be chance."""
    comparison = view.comparison
    if not comparison.has_convolution:
        return "There is no convolution to lower: all lowerings run the same kernels, and times differ by chance."
    return " ".join(_sentences(view))


def _sentences(view: View) -> Iterator[str]:
    best = view.comparison.best
    others = sorted(_rivals(view), key=lambda row: row.seconds)
    if not others:
        yield f"{best.lowering} takes {time_of(best)} a run; there is nothing else to compare it with."
        return
    ranking = f"{text.times(others[0].ratio)} as fast as {others[0].lowering}"
    if len(others) > 1:
        about = ABOUT if others[-1].extrapolated_from is not None else ""
        ranking += f" and {about}{text.times(others[-1].ratio)} as fast as {others[-1].lowering}"
    yield f"{best.lowering} is the fastest at {time_of(best)} a run: {ranking}."
    if best.lowering in view.replaced:
        yield f"In it, {len(view.replaced[best.lowering])} of {len(view.convolutions)} convolutions are another's."
    close = [row.lowering for row in others if overlap(best, row)]
    if close:
        named = close if len(close) < 4 else [*close[:2], f"{len(close) - 2} others"]
        yield f"Its quartiles overlap with those of {_listed(named)}, so their order may be chance."
    yield from _costs(view)


def _rivals(view: View) -> list[ComparisonRow]:
    """What the fastest is compared with: lowerings that compute all layers themselves, if there are any."""
    others = [row for row in view.comparison.totals if row is not view.comparison.best]
    return [row for row in others if row.lowering not in view.replaced] or others


def _costs(view: View) -> Iterator[str]:
    """What the fastest pays in memory and in digits."""
    comparison, best = view.comparison, view.comparison.best
    least = min(comparison.totals, key=lambda row: row.peak_bytes)
    if least.peak_bytes < best.peak_bytes:
        more = text.times(best.peak_bytes / max(least.peak_bytes, 1))
        yield f"It takes {text.size(best.peak_bytes)} of memory, {more} the least ({least.lowering})."
    else:
        yield f"No other takes less memory than its {text.size(best.peak_bytes)}."
    errors = [row.error for row in comparison.totals if row.error is not None]
    if best.error is not None and errors:
        worst = max(errors)
        yield f"Its error is {text.error(best.error)}; the largest of all is {text.error(worst)}."


def facts(view: View, written: str, version: str) -> Markup:
    """What was compared, on what, when and with what."""
    comparison, machine = view.comparison, view.comparison.machine
    caches = ", ".join(f"{name} {size}" for name, size in machine.caches)
    inputs = ", ".join(f"{name}: {type}" for name, type in comparison.inputs)
    given = {
        "Model": f"{comparison.graph}({inputs})",
        "Run": "forward and backward" if comparison.backward else "forward",
        "Counted": ", ".join(f"{row.lowering} {row.runs}" for row in comparison.totals),
        "Errors against": comparison.reference,
        "Machine": f"{machine.cpu}, {machine.cpus} CPUs{caches and f' ({caches})'}; {machine.system}",
        "Software": f"convir {version}, Python {machine.python}, NumPy {machine.numpy} with {machine.blas}",
        "Written": written,
    }
    if comparison.roofline:
        roof = comparison.roofline
        given["Ceilings"] = (
            f"{text.three_digits(roof.gflops)} GFLOP/s; {text.three_digits(roof.gbytes)} GB/s of memory, "
            f"{text.three_digits(roof.cached_gbytes)} GB/s of caches"
        )
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in given.items()), class_="facts")


def conventions(view: View) -> Markup:
    """How the figures are meant."""
    comparison = view.comparison
    said = [
        "Time: the median of the counted runs, with quartiles. The lowerings take turns (A B A B …), so that a machine "
        "that gets slower or faster favours none. A run of the whole net is timed step by step; a layer's time is that "
        "of its steps.",
        "FLOPs and multiplications: as lowered, what is executed; 1 MAC = 2 FLOPs.",
        "Scratch: what a layer holds only while it runs, such as patch matrices, padded copies and workspaces. Peak: "
        "most bytes of the arena in use while it runs; for the whole net the arena itself. Both are from the memory "
        "plan, of which exactly that is allocated.",
        f"Error: the largest difference from the {comparison.reference}, over its largest element; a layer's is its "
        "own, of the layer by itself.",
        "Layers without convolution run the same kernels: they differ by layout changes, and by what a neighbour "
        "leaves in the caches.",
    ]
    if view.replaced:
        said.append(f"{REPLACED}: the lowering refuses the layer, and another computes it.")
    if any(row.extrapolated_from is not None for row in comparison.rows):
        said.append(f"{ABOUT}: the whole batch would take longer than the time budget; scaled up from a part of it.")
    return tag("ul", *(tag("li", each) for each in said))


def refusals(view: View) -> Markup:
    """Which lowerings left layers to others, and why; nothing where none did."""
    items = []
    for name, rows in view.replaced.items():
        reasons: dict[str, list[str]] = {}
        for row in rows:
            reasons.setdefault(view.reason(row), []).append(str(row.layer))
        items += [tag("li", tag("b", name), f" {why}: {_listed(layers)}") for why, layers in reasons.items()]
    if not items:
        return Markup()
    count = sum(map(len, view.replaced.values()))
    said = f"{REPLACED} {count} times a lowering refuses a layer, and another computes it: why"
    return tag("details", tag("summary", said), tag("ul", *items), class_="refusals")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
