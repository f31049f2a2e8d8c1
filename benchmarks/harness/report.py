"""The results as tables for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from convir.common.table import Column, TextTable, format_seconds
from harness.engines import ENGINES
from harness.results import DISTURBED_CORES, EngineResult, Results, WorkloadResult
from harness.timing import quartiles

TITLES = {engine.name: engine.title for engine in ENGINES}
WIDTH = 100
_NONE = "-"


def report(results: Results) -> str:
    """Everything: machine, a table a workload, start-up and memory, notes."""
    tables = [workload_table(workload, results.ceiling_flops_per_second) for workload in results.workloads]
    tables += [_start_table(results), _memory_table(results)]
    warning = [results.warning] if results.warning else []
    parts = [*warning, _machine(results), *(table.text(WIDTH) for table in tables), _conventions(results), *warning]
    return "\n\n".join(parts)


def workload_table(workload: WorkloadResult, ceiling: float) -> TextTable:
    """A row an engine; those that were not measured give their reason below."""
    measured = [engine for engine in workload.engines if engine.seconds]
    images = "image" if workload.batch == 1 else "images"
    what = f"{workload.family}, {'training step' if workload.training else 'inference'}, {workload.batch} {images}"
    return TextTable(
        [
            Column("engine"),
            Column("median", "right"),
            Column("quartiles", "right"),
            Column("images/s", "right"),
            Column("/ convir", "right"),
            Column("quartiles", "right"),
            Column("GFLOP/s", "right"),
            Column("of\nceiling", "right"),
            Column("cores\nbusy", "right", optional=1),
        ],
        [_row(workload, engine, ceiling) for engine in measured],
        title=f"{workload.name}: {what}, {workload.flops / 1e6:,.2f} MFLOP",
        notes=[f"{TITLES[e.engine]}: {e.status}: {e.reason}" for e in workload.engines if not e.seconds],
    )


def _row(workload: WorkloadResult, engine: EngineResult, ceiling: float) -> list[str]:
    low, middle, high = quartiles(engine.seconds)
    ratio = None if engine is workload.engines[0] else workload.ratio(engine)
    speed = workload.flops_per_second(engine)
    return [
        TITLES[engine.engine],
        format_seconds(middle),
        _range(low, high, format_seconds),
        f"{workload.batch / middle:,.0f}",
        _NONE if ratio is None else f"{ratio[1]:.2f}",
        _NONE if ratio is None else f"{ratio[0]:.2f} - {ratio[2]:.2f}",
        f"{speed / 1e9:.2f}",
        f"{speed / ceiling:.1%}".replace("%", " %"),
        _NONE if engine.busy_cores is None else f"{engine.busy_cores:.2f}",
    ]


def _range(low: float, high: float, text: Callable[[float], str]) -> str:
    """``1.20 - 1.31 ms``: the unit once, where both have the same."""
    (first, unit), (last, other) = text(low).split(" "), text(high).split(" ")
    return f"{first} - {last} {unit}" if unit == other else f"{first} {unit} - {last} {other}"


def _start_table(results: Results) -> TextTable:
    def first(engine: EngineResult) -> str:
        return _NONE if engine.first_result_seconds is None else format_seconds(engine.first_result_seconds)

    table = _matrix(results, "Cold start: import, then time to the first result (build, compile, first call)", first)
    return TextTable(table.columns, [_imports(results), *table.rows], table.title)


def _imports(results: Results) -> list[str]:
    """Median over the workloads of the seconds to import each engine."""
    cells = ["import (median)"]
    for name in _engines(results):
        found = [e.import_seconds for w in results.workloads for e in w.engines if e.engine == name]
        known = [seconds for seconds in found if seconds is not None]
        cells.append(format_seconds(median(known)) if known else _NONE)
    return cells


def _memory_table(results: Results) -> TextTable:
    def memory(engine: EngineResult) -> str:
        if engine.peak_bytes is None or engine.grown_bytes is None:
            return _NONE
        return f"{engine.peak_bytes / 2**20:,.0f} (+{engine.grown_bytes / 2**20:,.0f})"

    title = "Peak resident memory of the process in MiB (of it, what came after the imports and the data)"
    return _matrix(results, title, memory)


def _matrix(results: Results, title: str, cell: Callable[[EngineResult], str]) -> TextTable:
    """Workloads down, engines across."""
    names = _engines(results)
    columns = [Column("workload"), *(Column(TITLES[name].replace(" ", "\n", 1), "right") for name in names)]
    return TextTable(columns, [[w.name, *map(cell, w.engines)] for w in results.workloads], title)


def _engines(results: Results) -> list[str]:
    return [engine.engine for engine in results.workloads[0].engines]


def _machine(results: Results) -> str:
    machine = results.machine
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    products = ", ".join(f"{size} x {size} {speed / 1e9:.0f}" for size, speed in results.ceiling.items())
    ceiling = results.ceiling_flops_per_second / 1e9
    lines = [
        f"{machine['cpu']}, {results.threads} threads on {machine['usable_cpus']} CPUs, caches: {caches or 'unknown'}",
        f"{machine['system']}, Python {machine['python']}, BLAS {machine['blas']}, {machine['date']}",
        versions,
        f"Ceiling: {ceiling:.0f} GFLOP/s, the best of NumPy's float32 matmuls: {products}",
    ]
    return TextTable([Column("")], [], notes=lines).text(WIDTH).strip()


def _conventions(results: Results) -> str:
    lines = [
        f"{results.rounds} rounds; a round's time is the median of a burst of calls; quartiles are over the rounds. "
        "/ convir: the engine's time over convir NumPy's, round by round; above 1, convir is faster.",
        "GFLOP/s: FLOPs of the model (1 MAC = 2; convolutions and matrix products, backward included in training) over "
        "the median. A training step is forward, cross-entropy and all parameter gradients, without an update. "
        "Every engine's results were compared with convir's first.",
        _disturbance(results),
    ]
    return TextTable([Column("")], [], notes=lines).text(WIDTH).strip()


def _disturbance(results: Results) -> str:
    """How often somebody else was on the machine."""
    if results.disturbed_share is None:
        return "Whether other programs were running is not known on this system."
    return f"Other programs took more than {DISTURBED_CORES} cores in {results.disturbed_share:.0%} of the bursts."
