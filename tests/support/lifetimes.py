"""Checks a memory plan in ways of its own: by which bytes each step may write, and by running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from convir.ir import Graph, Node
from convir.passes.memory import MemoryPlan
from convir.runtime import NUMPY, Executable
from support.graphs import interpret


def needed_after(plan: MemoryPlan) -> Iterator[tuple[Node, set[str]]]:
    """Each node in order, with the names of the values that anybody reads after it."""
    needed: set[str] = set()
    found: list[tuple[Node, set[str]]] = []
    for graph in reversed(plan.graphs):
        needed |= {value.name for value in graph.outputs}
        for node in reversed(graph.nodes):
            found.append((node, set(needed)))
            needed -= {value.name for value in node.outputs}
            needed |= {value.name for value in node.inputs}
        needed -= fresh_inputs(plan, graph)  # the caller passes them in right before
    return reversed(found)


def fresh_inputs(plan: MemoryPlan, graph: Graph) -> set[str]:
    """Names of the inputs that the caller passes, rather than an earlier graph."""
    earlier = plan.graphs[: plan.graphs.index(graph)]
    return {value.name for value in graph.inputs} - {value.name for before in earlier for value in before.values()}


def sources(plan: MemoryPlan) -> dict[str, str]:
    """Each value -> the value whose bytes it shows: itself, unless it is a view."""
    shown: dict[str, str] = {}
    for graph in plan.graphs:
        for node in graph.nodes:
            operand = node.inputs[0].name if node.op.view else ""
            shown[node.name] = shown.get(operand, operand) if node.op.view else node.name
    return shown


def ranges(plan: MemoryPlan) -> dict[str, tuple[int, int]]:
    """The bytes in which each value and each scratch array lies."""
    types = {value.name: value.type for graph in plan.graphs for value in graph.values()}
    for graph in plan.graphs:
        for node in graph.nodes:
            types |= {node.scratch_name(index): type for index, type in enumerate(NUMPY.scratch(node))}
    placed = {name: buffer.offset for name, buffer in plan.buffer_of.items()}
    return {name: (offset, offset + types[name].nbytes) for name, offset in placed.items()}


def assert_plan_is_sound(plan: MemoryPlan) -> None:
    """No step writes to bytes that hold something else that is still needed."""
    where, shown = ranges(plan), sources(plan)
    assert all(0 <= begin <= end <= plan.peak_bytes for begin, end in where.values())
    _assert_inputs_are_apart(plan, where)
    for node, needed in needed_after(plan):
        if node.op.view or node.op.kind == "constant":
            continue
        results = [value.name for value in node.outputs]
        scratch = [node.scratch_name(index) for index in range(len(NUMPY.scratch(node)))]
        safe = {shown.get(name, name) for name in needed} & where.keys()
        for written in (*results, *scratch):
            for name in safe - {written}:
                assert not _overlap(where[written], where[name]), f"{node.name}: {written} destroys {name}"
        _assert_operands_survive(node, results, scratch, where, shown)


def _assert_operands_survive(
    node: Node, results: list[str], scratch: list[str], where: Mapping[str, tuple[int, int]], shown: Mapping[str, str]
) -> None:
    """A step writes over an operand only where its op says that it may, and then over all of it."""
    allowed = {shown.get(node.inputs[slot].name, node.inputs[slot].name) for slot in node.op.inplace}
    for value in node.inputs:
        operand = shown.get(value.name, value.name)
        for written in (*results, *scratch):
            if operand in where and _overlap(where[written], where[operand]):
                assert written in results, f"{node.name}: scratch lies over operand {operand}"
                assert operand in allowed, f"{node.name} may not write over {operand}"
                assert where[written] == where[operand]
    for written in scratch:
        for other in (*results, *scratch):
            assert other == written or not _overlap(where[written], where[other])


def _assert_inputs_are_apart(plan: MemoryPlan, where: Mapping[str, tuple[int, int]]) -> None:
    """What the caller passes before a graph runs does not fall on what is needed then."""
    for graph in plan.graphs:
        placed = [value.name for value in graph.inputs if value.name in where]
        for name in fresh_inputs(plan, graph):
            for other in placed:
                assert other == name or not _overlap(where[name], where[other]), f"input {name} lies over {other}"


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def assert_runs_undisturbed(executable: Executable, given: Mapping[str, np.ndarray], rtol: float = 1e-10) -> None:
    """Run step by step: each value comes out as on fresh arrays, and stays as long as anybody reads it."""
    plan = executable.plan
    later = {node.name: needed for node, needed in needed_after(plan)}  # type: ignore[arg-type]
    held: dict[str, np.ndarray] = {}
    truth: dict[str, np.ndarray] = dict(given)
    for graph, half in zip(plan.graphs, executable.halves, strict=True):
        truth |= interpret(graph, truth)
        for value in graph.inputs:
            if value.name in given:
                executable.load(value, given[value.name])
        for step in half:
            step.run()
            held |= {value.name: executable.read(value).copy() for value in step.node.outputs}
            _assert_close(executable, step.node, truth, rtol)
            for name in held.keys() & later[step.node.name]:
                np.testing.assert_array_equal(executable.arrays[name], held[name], f"{name} after {step.node.name}")
        _assert_outputs(executable, graph, truth, rtol)


def _assert_outputs(executable: Executable, graph: Graph, truth: Mapping[str, np.ndarray], rtol: float) -> None:
    for value in graph.outputs:
        scale = float(np.abs(truth[value.name]).max(initial=1e-30))
        np.testing.assert_allclose(executable.read(value), truth[value.name], rtol=0, atol=rtol * scale)


def _assert_close(executable: Executable, node: Node, truth: Mapping[str, np.ndarray], rtol: float) -> None:
    if node.op.random:
        return
    for value in node.outputs:
        scale = float(np.abs(truth[value.name]).max(initial=1e-30))
        np.testing.assert_allclose(
            executable.read(value), truth[value.name], rtol=0, atol=rtol * scale, err_msg=value.name
        )
