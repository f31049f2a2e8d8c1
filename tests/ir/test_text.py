"""The text form: where the remarks stand."""

from __future__ import annotations

import pytest

import convir
from convir.ir.text import format_node


def columns(*lengths: int) -> list[int]:
    """Where the remarks stand in the text of a graph whose lines have these lengths."""

    def model(x):
        for _ in lengths:
            x = x.relu()
        return x

    graph = convir.trace(model, (2,))
    for index, length in enumerate(lengths):
        node = graph.nodes[index]
        padded = "n" * (length - len(format_node(node)) + len(node.outputs[0].name))
        graph = renamed(graph, node.outputs[0].name, padded)
    assert [len(format_node(node)) for node in graph.nodes] == list(lengths)
    return [line.index("#") - len("  ") - len("   ") for line in str(graph).splitlines()[1:-1]]


def renamed(graph, old: str, new: str):
    """The graph with a result called ``new``; it is read by the next node alone, so that keeps its short text."""
    from dataclasses import replace

    nodes = []
    for node in graph.nodes:
        outputs = tuple(replace(value, name=new) if value.name == old else value for value in node.outputs)
        nodes.append(replace(node, outputs=outputs, made_by="test"))
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([40, 60], [60, 60]),
        ([40, 110], [110, 110]),
        ([110, 111], [111, 111]),  # a letter over the limit is no reason to be a letter out of line
        ([107, 111, 115], [115, 115, 115]),
        ([60, 115], [60, 115]),
        ([110, 150], [110, 150]),
        ([106, 110, 114, 118, 122], [118, 118, 118, 118, 122]),
    ],
)
def test_remarks_stand_in_one_column(lengths, expected):
    assert columns(*lengths) == expected
