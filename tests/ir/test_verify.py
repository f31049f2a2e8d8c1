"""The verifier: corrupt a graph, read the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from support.random_graphs import random_graphs

from convir import TensorType, VerifyError
from convir.ir import Builder, Graph, Node, Op, Source, Value, verify
from convir.ir.ops import Add, Conv2d, MaxPool2d, Mul, Relu, Reshape, Sum, Tanh, Transpose


def chain() -> Graph:
    """``a`` to ``e``, each reading the one before."""
    builder = Builder("g")
    value = builder.input("x", TensorType((2, 3)))
    w = builder.param("w", TensorType((3,)))
    for op, name in ((Relu(), "a"), (Tanh(), "b"), (Mul(), "c"), (Relu(), "d"), (Tanh(), "e")):
        value = builder.emit(op, value, *([w] if isinstance(op, Mul) else []), name=name)
    return builder.finish([value], {})


def images(op: Op) -> Graph:
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 2, 4, 4)))
    operands = [x, builder.param("w", TensorType((2, 2, 2, 2)))] if isinstance(op, Conv2d) else [x]
    return builder.finish([builder.emit(op, *operands, name="y")], {})


def changed(graph: Graph, name: str, **changes) -> Graph:
    """The graph with some fields of one node replaced."""
    nodes = tuple(replace(node, **changes) if node.name == name else node for node in graph.nodes)
    return graph.replace(nodes=nodes)


def forced(graph: Graph, name: str, **attributes) -> Graph:
    """The graph with attributes forced into one op, past its checks."""
    op = graph.node(name).op
    for key, value in attributes.items():
        object.__setattr__(op, key, value)
    return graph


def value(name: str, *shape: int, dtype: str = "float32") -> Value:
    return Value(name, TensorType(shape, dtype))


def without(graph: Graph, name: str) -> Graph:
    return graph.replace(nodes=tuple(node for node in graph.nodes if node.name != name))


def swapped(graph: Graph) -> Graph:
    a, b, *rest = graph.nodes
    return graph.replace(nodes=(b, a, *rest))


CORRUPT: dict[str, tuple[Callable[[], Graph], str]] = {
    "an undefined operand": (
        lambda: changed(chain(), "c", inputs=(value("nowhere", 2, 3), value("w", 3))),
        r"mul: operand nowhere: f32\[2,3\] is not defined before its use",
    ),
    "a node that is missing": (lambda: without(chain(), "b"), r"mul: operand b: f32\[2,3\] is not defined before"),
    "nodes in the wrong order": (lambda: swapped(chain()), r"tanh: operand a: f32\[2,3\] is not defined before"),
    "a node that reads itself": (
        lambda: changed(chain(), "a", inputs=(value("a", 2, 3),)),
        r"relu: operand a: f32\[2,3\] is not defined before its use",
    ),
    "an operand of another type": (
        lambda: changed(chain(), "d", inputs=(value("c", 3, 2),)),
        r"relu: operand c: f32\[3,2\] is defined with type f32\[2,3\]",
    ),
    "an operand of another element type": (
        lambda: changed(chain(), "d", inputs=(value("c", 2, 3, dtype="float64"),)),
        r"operand c: f64\[2,3\] is defined with type f32\[2,3\]",
    ),
    "a value defined twice": (
        lambda: changed(chain(), "d", outputs=(value("b", 2, 3),)),
        r"relu: value 'b' is defined twice",
    ),
    "a node with the name of an input": (
        lambda: changed(chain(), "d", outputs=(value("x", 2, 3),)),
        r"relu: value 'x' is defined twice",
    ),
    "a node with the name of a parameter": (
        lambda: changed(chain(), "d", outputs=(value("w", 2, 3),)),
        r"value 'w' is defined twice",
    ),
    "one node with two results of one name": (
        lambda: changed(chain(), "d", outputs=(value("d", 2, 3), value("d", 2, 3))),
        r"value 'd' is defined twice",
    ),
    "two inputs of one name": (
        lambda: chain().replace(inputs=(value("x", 2, 3),) * 2),
        r"two inputs or parameters are named 'x'",
    ),
    "a parameter with the name of an input": (
        lambda: chain().replace(params=(value("w", 3), value("x", 2, 3))),
        r"two inputs or parameters are named 'x'",
    ),
    "a result of the wrong shape": (
        lambda: changed(chain(), "e", outputs=(value("e", 3, 2),)),
        r"tanh: results should be f32\[2,3\], found f32\[3,2\]",
    ),
    "a result of the wrong element type": (
        lambda: changed(chain(), "e", outputs=(value("e", 2, 3, dtype="float64"),)),
        r"results should be f32\[2,3\], found f64\[2,3\]",
    ),
    "one result too many": (
        lambda: changed(chain(), "e", outputs=(value("e", 2, 3), value("f", 2, 3))),
        r"results should be f32\[2,3\], found f32\[2,3\], f32\[2,3\]",
    ),
    "an operand too many": (
        lambda: changed(chain(), "d", inputs=(value("c", 2, 3),) * 2),
        r"relu: takes operands \(input\), got 2",
    ),
    "an operand too few": (lambda: changed(chain(), "c", inputs=(value("b", 2, 3),)), r"operands \(a, b\), got 1"),
    "another op": (lambda: changed(chain(), "d", op=Sum((0,))), r"sum: results should be f32\[3\], found f32\[2,3\]"),
    "operands that do not fit together": (
        lambda: changed(chain(), "c", op=Add(), inputs=(value("b", 2, 3), value("b", 2, 3)), outputs=(value("c", 1),)),
        r"add: results should be f32\[2,3\], found f32\[1\]",
    ),
    "an output that is not defined": (
        lambda: chain().replace(outputs=(value("nowhere", 1),)),
        r"graph g after bad_pass: output nowhere: f32\[1\] is not defined before its use",
    ),
    "an output of another type": (
        lambda: chain().replace(outputs=(value("e", 6),)),
        r"output e: f32\[6\] is defined with type f32\[2,3\]",
    ),
    "a stride of 0": (lambda: forced(images(Conv2d()), "y", stride=(0, 1)), r"conv2d: stride must be two integers"),
    "groups that do not divide": (lambda: forced(images(Conv2d()), "y", groups=3), r"conv2d: groups=3 must divide"),
    "an unknown activation": (lambda: forced(images(Conv2d()), "y", activation="gelu"), r"activation must be one of"),
    "a window larger than the image": (
        lambda: forced(images(MaxPool2d(kernel_size=(2, 2))), "y", kernel_size=(9, 9)),
        r"max_pool2d: kernel 9x9 is larger than the padded input 4x4",
    ),
    "another padding": (
        lambda: forced(images(Conv2d()), "y", padding=(1, 0)),
        r"results should be f32\[1,2,5,3\], found f32\[1,2,3,3\]",
    ),
    "axes out of range": (lambda: forced(images(Sum((0,))), "y", axes=(7,)), r"sum: axes \(7,\) are out of range"),
    "axes that are no tuple": (lambda: forced(images(Sum((0,))), "y", axes=3), r"axes must be a tuple of integers"),
    "no permutation": (
        lambda: forced(images(Transpose((0, 1, 3, 2))), "y", permutation=(0, 1, 2, 2)),
        r"transpose: \(0, 1, 2, 2\) is not a permutation",
    ),
    "a shape of another size": (lambda: forced(images(Reshape((32,))), "y", shape=(33,)), r"cannot reshape"),
    "an attribute of a type that fails in its own way": (
        lambda: forced(images(MaxPool2d(kernel_size=(2, 2))), "y", kernel_size=(2, 2), layout="NCH"),
        r"max_pool2d: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_graph_is_refused(make, message):
    with pytest.raises(VerifyError, match=message) as caught:
        verify(make(), after="bad_pass")
    assert str(caught.value).startswith("graph g after bad_pass: ")


def test_the_message_shows_the_node_among_its_neighbours():
    broken = changed(
        chain(), "c", op=Sum((0,)), inputs=(value("b", 2, 3),), scope="block.1", source=Source("net.py", 12)
    )
    with pytest.raises(VerifyError) as caught:
        verify(broken, after="fuse_relu")
    assert str(caught.value) == (
        "graph g after fuse_relu: sum at block.1 (net.py:12): results should be f32[3], found f32[2,3]\n"
        "  a = relu(x) : f32[2,3]\n"
        "  b = tanh(a) : f32[2,3]\n"
        "> c = sum(b, axes=(0,)) : f32[2,3]\n"
        "  d = relu(c) : f32[2,3]\n"
        "  e = tanh(d) : f32[2,3]"
    )


def test_without_a_pass_the_message_names_the_graph():
    with pytest.raises(VerifyError, match=r"^graph g: relu: operand"):
        verify(changed(chain(), "a", inputs=(value("q", 2, 3),)))


def test_the_first_and_last_node_have_fewer_neighbours():
    for name, lines in (("a", 4), ("e", 4)):
        with pytest.raises(VerifyError) as caught:
            verify(changed(chain(), name, outputs=(value(name, 1),)))
        assert len(str(caught.value).splitlines()) == lines


@dataclass(frozen=True)
class Careless(Op):
    """An op whose shape rule fails in a way of its own."""

    operand_names = ("input",)

    def infer(self, *operands):
        return (operands[0].with_shape(operands[3].shape),)


def test_a_shape_rule_that_raises_anything_is_reported_with_its_node():
    node = Node(Careless(), (value("x", 2, 3),), (value("a", 2, 3),))
    with pytest.raises(VerifyError, match="its shape rule fails with IndexError: tuple index out of range"):
        verify(Graph("g", (value("x", 2, 3),), (), (node,), node.outputs), after="mine")


@pytest.mark.parametrize("outputs", [(), ("x",), ("w",), ("e", "e", "x")], ids=str)
def test_odd_but_valid_outputs(outputs):
    graph = chain()
    known = {v.name: v for v in graph.values()}
    verify(graph.replace(outputs=tuple(known[name] for name in outputs)))


@given(random_graphs())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_are_valid_and_every_dropped_node_is_noticed(graph):
    verify(graph)
    read = {v.name for node in graph.nodes for v in node.inputs} | {v.name for v in graph.outputs}
    for node in graph.nodes:
        if node.name in read:
            with pytest.raises(VerifyError, match="is not defined before its use"):
                verify(without(graph, node.name))
