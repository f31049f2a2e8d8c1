"""Small graphs, random data for them, and the slowest way of running them: node by node."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convir.ir import Builder, Graph, Op, TensorType, verify
from convir.passes.differentiate import Differentiate
from convir.runtime import evaluate


@dataclass(eq=False)
class Bound:
    """A parameter of a graph built by hand."""

    data: np.ndarray
    requires_grad: bool = True


def graph_of(op: Op, *operands: TensorType | tuple[int, ...], dtype: str = "float32") -> Graph:
    """A graph of one node; its inputs are called as in the op's signature."""
    builder = Builder("one")
    types = [item if isinstance(item, TensorType) else TensorType(item, dtype) for item in operands]
    names = [name.rstrip("?") for name in op.operand_names]
    values = [builder.input(name, type) for name, type in zip(names, types, strict=False)]
    return builder.finish([builder.emit(op, *values, name="y")], {})


def bind(graph: Graph, seed: int = 0) -> Graph:
    """The graph with random parameters."""
    rng = np.random.default_rng(seed)
    return graph.replace(bindings={value.name: Bound(random_array(value.type, rng)) for value in graph.params})


def random_array(type: TensorType, rng: np.random.Generator) -> np.ndarray:
    """Normally distributed, or small class indices."""
    if type.is_float:
        return np.array(rng.standard_normal(type.shape), type.dtype)
    return np.array(rng.integers(0, 2, type.shape), type.dtype)


def random_values(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """An array for each input and parameter; the live one where a parameter is bound."""
    rng = np.random.default_rng(seed)
    values = {value.name: random_array(value.type, rng) for value in (*graph.inputs, *graph.params)}
    return {**values, **{name: bound.data for name, bound in graph.bindings.items() if name in values}}


def interpret(graph: Graph, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every value of the graph, each node run on fresh arrays."""
    values = {value.name: given[value.name] for value in (*graph.inputs, *graph.params)}
    for node in graph.nodes:
        results = evaluate(node.op, [values[value.name] for value in node.inputs])
        values.update(zip((value.name for value in node.outputs), results, strict=True))
    return values


def results(graph: Graph, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The graph's outputs."""
    values = interpret(graph, given)
    return [values[value.name] for value in graph.outputs]


def joint(graph: Graph, *wrt: str) -> Graph:
    """The graph with its gradients."""
    return Differentiate(wrt or None)(graph)


def text(graph: Graph) -> str:
    """The text form without provenance."""
    return "\n".join(line.split("   #")[0].rstrip() for line in str(graph).splitlines())


def block(expected: str) -> str:
    """An inline block of text as :func:`text` writes it."""
    return textwrap.dedent(expected).strip()


def assert_rewrites(transform: Any, before: Graph, expected: str, rtol: float = 1e-6) -> Graph:
    """The pass gives a valid graph of this text, which computes the same; returns it."""
    unchanged = str(before)
    after = transform(before)
    verify(after, after=transform.name)
    assert text(after) == block(expected), f"before:\n{before}\nafter:\n{after}"
    assert str(before) == unchanged, "a pass must leave its graph alone"
    given = random_values(before)
    assert_close(results(after, given), results(before, given), rtol)
    return after


def assert_leaves(transform: Any, before: Graph) -> None:
    """The pass finds nothing to do."""
    assert str(transform(before)) == str(before)


def assert_close(found: Sequence[Any], expected: Sequence[Any], rtol: float, least: float = 1e-30) -> None:
    """Each array equal to its counterpart, relative to the largest element, or ``least``; NaN equals NaN."""
    assert len(found) == len(expected)
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert np.shape(a) == np.shape(b), f"result {index}"
        assert a.dtype == b.dtype, f"result {index}"
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b), err_msg=f"result {index}")
        scale = float(np.max(np.abs(b), initial=least, where=np.isfinite(b)))
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale, err_msg=f"result {index}")
