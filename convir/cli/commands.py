"""What each command does: a function of the parsed arguments that returns what to print."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convir.cli.inputs import traced
from convir.common.table import Column, TextTable, format_seconds, wrapped
from convir.ir import Graph, UnsupportedError
from convir.passes.manager import Stage, numbered


@dataclass(frozen=True)
class Text:
    """A result that is nothing but text."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Compilation:
    """What ``convir compile`` reports: stages, costs, memory, how the batch is divided, and where the dump is."""

    compiled: Any
    show_stages: bool
    explanation: Any = None
    dumped: Any = None

    def to_json(self) -> dict[str, Any]:
        """``schema, graph, backend, lowering, explanation, division, build, stages, cost, memory, dump``."""
        stages = [
            {"name": stage.name, "nodes": len(stage.graph.nodes), "seconds": stage.seconds}
            for stage in self.compiled.stages
        ]
        dumped = self.dumped and {"folder": str(self.dumped.folder), "files": list(self.dumped.files)}
        return {
            "schema": "convir.compile/1",
            "graph": self.compiled.program.model.name,
            "backend": self.compiled.program.kernels.name,
            "lowering": self.compiled.lowering.to_json(),
            "explanation": self.explanation and self.explanation.to_json(),
            "division": _division_json(self.compiled.division),
            "build": self.compiled.build and self.compiled.build.to_json(),
            "stages": stages,
            "cost": self.compiled.cost.to_json(),
            "memory": self.compiled.memory.to_json(),
            "dump": dumped,
        }

    def __str__(self) -> str:
        stages = self.compiled.stages
        if self.show_stages:
            parts: list[object] = [*stages]
        else:
            parts = [_stage_table(stages), self.compiled.cost, self.compiled.memory]
        if self.explanation:
            parts.append(self.explanation)
        elif self.compiled.lowering.refused:
            parts.append(self.compiled.lowering)
        parts.append(wrapped(_running(self.compiled)))
        if self.compiled.build:
            parts.append(wrapped(str(self.compiled.build)))
        if self.dumped:
            parts.append(f"{len(stages)} stages in {self.dumped.folder}: open {self.dumped.folder / 'index.html'}")
        return "\n\n".join(map(str, parts))


def trace(args: Namespace) -> Text:
    """The graph as text or DOT."""
    graph = traced(args)
    return Text(graph.to_dot().rstrip() if args.dot else str(graph))


def summary(args: Namespace) -> Any:
    """The layers, or with ``--cost`` the costs of the nodes."""
    from convir.reports import estimate, summary

    graph = traced(args)
    return estimate(graph) if args.cost else summary(graph, depth=args.depth)


def render(args: Namespace) -> Text:
    """A picture of the trace or of a stage."""
    graph = traced(args)
    if args.stage is not None:
        graph = _stage(_stages(graph, args), args.stage).graph
    path = graph.render(
        args.out or f"{graph.name}.svg",
        flops=_flops(graph) if args.flops else None,
        depth=args.depth,
        direction=args.direction,
        params=not args.no_params,
    )
    return Text(f"{path}: {len(graph.nodes)} nodes of {graph.name}")


def compile(args: Namespace) -> Compilation:
    """The stages of a compilation, its costs and its memory plan."""
    compiled = _compiled(traced(args), args)
    explanation = compiled.explain() if args.explain else None
    return Compilation(compiled, args.stages, explanation, _dump(compiled, args) if args.dump else None)


def profile(args: Namespace) -> Any:
    """The time of every step."""
    from convir.selection.trial import numbers

    graph = traced(args)
    compiled = _compiled(graph, args)
    inputs = [numbers(value.type, index) for index, value in enumerate(graph.inputs)]
    return compiled.profile(*inputs, backward=args.backward, repeats=args.repeats)


def note(text: str) -> None:
    """Something to know that is not the result."""
    print(text, file=sys.stderr, flush=True)


def _compiled(graph: Graph, args: Namespace) -> Any:
    from convir.compiled import compile

    return compile(
        graph,
        conv=_conv(args.conv or []),
        pool=args.pool,
        inference=args.inference,
        backend=args.backend,
        threads=args.threads,
        tile=args.tile,
        memory_limit=args.memory_limit,
        max_error=args.max_error,
    )


def _conv(given: Sequence[str]) -> Any:
    """``["naive"]`` is for all convolutions, ``["conv1=naive", "conv2=im2col"]`` for each by name; None: not said."""
    if not given:
        return None
    if any("," in each for each in given):
        example = " ".join(f"--conv {part.strip()}" for part in ",".join(given).split(",") if "=" in part)
        raise UnsupportedError(
            f"--conv takes one NAME, or one NODE=NAME: repeat it for several{example and f', {example}'}"
        )
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    if not all("=" in each for each in given):
        raise UnsupportedError("--conv is one NAME for all convolutions, or NODE=NAME for some, not both")
    chosen: dict[str, str] = {}
    for node, name in (each.split("=", 1) for each in given):
        if not node or not name:
            raise UnsupportedError(f"--conv {node}={name} lacks a part; write NODE=NAME, such as conv1=naive")
        if node in chosen:
            raise UnsupportedError(f"--conv names {node} more than once")
        chosen[node] = name
    return chosen


def _stages(graph: Graph, args: Namespace) -> tuple[Stage, ...]:
    """The stages without an executable: drawing needs no memory."""
    from convir.compiler import build, pipeline
    from convir.runtime import NUMPY
    from convir.selection import Limits, with_choosers

    conv = with_choosers(_conv(args.conv or []), NUMPY, Limits(args.memory_limit, args.max_error))
    passes = pipeline(conv=conv, pool=args.pool, inference=args.inference)
    return build(graph, passes).stages


def _stage(stages: Sequence[Stage], wanted: str) -> Stage:
    """By name, ``fuse_relu`` (of several the last), by stem, ``03_fuse_relu``, or by number."""
    known = numbered(stages)
    for stem, stage in reversed(known):
        if wanted in (stage.name, stem) or (wanted.isdecimal() and int(wanted) == int(stem.split("_")[0])):
            return stage
    raise UnsupportedError(f"there is no stage {wanted!r}; there are {', '.join(stem for stem, _ in known)}")


def _flops(graph: Graph) -> dict[str, float]:
    from convir.passes.estimate import estimate

    return {row.name: row.flops for row in estimate(graph).rows if row.flops}


def _dump(compiled: Any, args: Namespace) -> Any:
    from convir.dump import dump

    stages = compiled.stages
    title = f"{stages[0].graph.name}: {len(stages)} stages"
    dumped = dump(stages, args.dump, title=title, passes=compiled.passes)
    if dumped.not_drawn:
        note(f"note: no pictures of some stages: {dumped.not_drawn}")
    return dumped


def _running(compiled: Any) -> str:
    """How a call runs, in a line."""
    part = "" if compiled.division.roles is None else " Stages and memory are those of the largest tile."
    return f"Backend: {compiled.program.kernels.name}. A call runs {compiled.division}.{part}"


def _division_json(division: Any) -> dict[str, Any]:
    return {
        "text": str(division),
        "batch": division.tiles.batch,
        "tiles": len(division.tiles),
        "samples": list(division.tiles.sizes),
        "lanes": division.lanes,
        "threads": division.threads,
    }


def _stage_table(stages: Sequence[Stage]) -> TextTable:
    columns = [Column("stage", fold=True), Column("nodes", "right"), Column("change", "right"), Column("time", "right")]
    rows = []
    before = len(stages[0].graph.nodes)
    for stem, stage in numbered(stages):
        nodes = len(stage.graph.nodes)
        # The halves are parts of the graph before them, not rewrites of one another.
        change = "" if stage.name.startswith("split_") or nodes == before else f"{nodes - before:+d}"
        rows.append([stem, str(nodes), change, format_seconds(stage.seconds)])
        before = nodes
    return TextTable(columns, rows, title=f"Stages of {stages[0].graph.name}")
