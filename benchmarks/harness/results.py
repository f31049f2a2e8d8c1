"""What a run found, as plain data; names carry their units."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from harness.timing import quartiles, ratios

#: Name and version of what :meth:`Results.to_json` returns.
SCHEMA = "convir.benchmark.engines/1"
#: Cores that others kept busy in a burst that counts as disturbed, and the share of such bursts in a run that does.
DISTURBED_CORES, DISTURBED_SHARE = 0.25, 0.1


@dataclass(frozen=True)
class EngineResult:
    """One engine on one workload.

    Attributes:
        engine: its name.
        status: ``measured``, ``unavailable`` (not installed, or no way to do this), ``failed`` or ``disagrees``.
        reason: why it was not measured.
        versions: of the packages that it imported.
        import_seconds: to import them.
        first_result_seconds: from then to the first result: build, compile, first call; all caches empty.
        loaded_bytes: resident in the process after import, before building.
        peak_bytes: the most that was ever resident in it: interpreter, libraries, compilation, everything.
        difference: largest distance of any element of its results from those of the first engine that
            has any, which is convir, relative to the largest element of that array.
        busy_cores: CPU seconds of all its threads for each second of a burst.
        other_cores: the same of everybody else on the machine in each round; empty where the system does not tell.
        settling_seconds: how long its threads kept spinning after a burst, at most.
        calls: calls in a burst.
        seconds: a call's time in each round, the median of the burst.
    """

    engine: str
    status: str
    reason: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    import_seconds: float | None = None
    first_result_seconds: float | None = None
    loaded_bytes: int | None = None
    peak_bytes: int | None = None
    difference: float | None = None
    busy_cores: float | None = None
    other_cores: tuple[float, ...] = ()
    settling_seconds: float | None = None
    calls: int = 0
    seconds: tuple[float, ...] = ()

    @property
    def grown_bytes(self) -> int | None:
        """What building and running took beyond the imports and the data, at the highest."""
        return None if self.peak_bytes is None or self.loaded_bytes is None else self.peak_bytes - self.loaded_bytes


@dataclass(frozen=True)
class WorkloadResult:
    """All engines on one workload; the first is the baseline.

    Attributes:
        name: the workload's.
        family: see :class:`harness.workloads.Workload`.
        batch: images in a call.
        training: whether a call is a training step.
        flops: of the model in one call, 2 a MAC.
        engines: in the order of the tables.
    """

    name: str
    family: str
    batch: int
    training: bool
    flops: int
    engines: tuple[EngineResult, ...]

    def ratio(self, engine: EngineResult) -> tuple[float, float, float] | None:
        """Quartiles of the engine's time over the baseline's, round by round; None if either was not measured."""
        baseline = self.engines[0]
        if not engine.seconds or not baseline.seconds:
            return None
        return quartiles(ratios(engine.seconds, baseline.seconds))

    def flops_per_second(self, engine: EngineResult) -> float:
        """Model FLOPs of a call over its median time."""
        return self.flops / quartiles(engine.seconds)[1]

    def to_json(self, ceiling: float) -> dict[str, Any]:
        """A dict of plain types; ``ceiling`` in FLOP/s."""
        plain = {key: getattr(self, key) for key in ("name", "family", "batch", "training", "flops")}
        return {**plain, "engines": [self._engine_json(engine, ceiling) for engine in self.engines]}

    def _engine_json(self, engine: EngineResult, ceiling: float) -> dict[str, Any]:
        plain = {**asdict(engine), "grown_bytes": engine.grown_bytes}
        if not engine.seconds:
            return plain
        median = quartiles(engine.seconds)[1]
        flops_per_second = self.flops_per_second(engine)
        ratio = self.ratio(engine)
        return {
            **plain,
            "seconds_quartiles": list(quartiles(engine.seconds)),
            "images_per_second": self.batch / median,
            "ratio_to_convir_quartiles": None if ratio is None else list(ratio),
            "flops_per_second": flops_per_second,
            "share_of_ceiling": flops_per_second / ceiling,
        }


@dataclass(frozen=True)
class Results:
    """A whole run.

    Attributes:
        machine: see :func:`harness.machine.describe`.
        threads: that every engine could use.
        rounds: of bursts.
        ceiling: matrix size -> FLOP/s of NumPy's float32 product, the best that was measured.
        workloads: in the order in which they ran.
    """

    machine: dict[str, Any]
    threads: int
    rounds: int
    ceiling: dict[str, float]
    workloads: tuple[WorkloadResult, ...]

    @property
    def ceiling_flops_per_second(self) -> float:
        """The best of all sizes."""
        return max(self.ceiling.values())

    @property
    def disturbed_share(self) -> float | None:
        """The share of the bursts in which other programs were at work; None where the system does not tell."""
        others = [cores for w in self.workloads for engine in w.engines for cores in engine.other_cores]
        return sum(cores > DISTURBED_CORES for cores in others) / len(others) if others else None

    @property
    def warning(self) -> str:
        """Why the figures are not to be quoted; empty for a run on a quiet machine."""
        if self.disturbed_share is None or self.disturbed_share <= DISTURBED_SHARE:
            return ""
        return f"NOT A QUIET MACHINE, not to be quoted: other programs ran in {self.disturbed_share:.0%} of the bursts."

    @property
    def baseline(self) -> str:
        """The engine that all are compared with."""
        return self.workloads[0].engines[0].engine

    @property
    def versions(self) -> dict[str, str]:
        """Every package that an engine imported."""
        found: dict[str, str] = {}
        for workload in self.workloads:
            for engine in workload.engines:
                found.update(engine.versions)
        return found

    @property
    def wrong(self) -> list[str]:
        """``workload: engine: reason`` of every engine that failed or disagrees."""
        return [
            f"{workload.name}: {engine.engine} {engine.status}: {engine.reason}"
            for workload in self.workloads
            for engine in workload.engines
            if engine.status in ("failed", "disagrees")
        ]

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types: seconds, bytes, FLOP/s; quartiles are [25 %, median, 75 %]."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "versions": self.versions,
            "threads": self.threads,
            "rounds": self.rounds,
            "disturbed_share_of_bursts": self.disturbed_share,
            "matmul_ceiling_flops_per_second": self.ceiling,
            "workloads": [workload.to_json(self.ceiling_flops_per_second) for workload in self.workloads],
        }
