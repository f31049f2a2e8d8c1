"""Building graphs: unique names, provenance, places in errors."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from convir import ConvirError, ShapeError, TensorType
from convir.ir import Builder, Provenance, Source, Value, describe_place, verify
from convir.ir.ops import Add, Conv2d, Exp, Mul, Relu


def start():
    builder = Builder("g")
    return builder, builder.input("x", TensorType((2,)))


def test_names_are_unique_and_counted():
    builder, x = start()
    made = [builder.emit(Relu(), x).name for _ in range(3)]
    assert made == ["relu", "relu_1", "relu_2"]
    assert builder.input("relu", TensorType((1,))).name == "relu_3"


def test_a_counted_name_that_is_taken_is_skipped():
    builder, x = start()
    builder.emit(Relu(), x, name="relu_1")
    assert [builder.emit(Relu(), x).name for _ in range(2)] == ["relu", "relu_2"]


def test_discarding_frees_the_name():
    builder, x = start()
    y = builder.emit(Relu(), x, name="y")
    builder.discard(builder.producer(y))
    assert builder.producer(y) is None
    assert builder.emit(Exp(), x, name="y").name == "y"
    assert [node.op.name for node in builder.nodes] == ["exp"]


def test_renaming_keeps_the_node():
    builder, x = start()
    y = builder.rename(builder.emit(Relu(), x), "result")
    assert builder.producer(y).op == Relu()
    graph = builder.finish([y], {})
    verify(graph)
    assert [node.name for node in graph.nodes] == ["result"]


def test_emitted_nodes_take_the_provenance_of_the_moment():
    builder, x = start()
    builder.provenance = Provenance("block.0", Source("/a/net.py", 7), made_by="me")
    node = builder.producer(builder.emit(Relu(), x, name="y"))
    assert (node.scope, str(node.source), node.origin, node.made_by) == ("block.0", "net.py:7", "y", "me")
    outer = builder.provenance
    with builder.at(node):
        inner = builder.producer(builder.emit(Exp(), x, name="z"))
    assert (inner.scope, inner.origin, inner.made_by) == ("block.0", "y", "me")
    assert builder.provenance == outer


def test_provenance_comes_back_after_an_error():
    builder, x = start()
    node = builder.producer(builder.emit(Relu(), x))
    outer = builder.provenance
    with pytest.raises(ShapeError), builder.at(node):
        builder.emit(Add(), x, builder.input("y", TensorType((3,))))
    assert builder.provenance == outer


def test_operands_that_do_not_fit_name_the_place_and_emit_nothing():
    builder, x = start()
    builder.provenance = Provenance("features.3", Source("/home/me/net.py", 12))
    with pytest.raises(
        ShapeError, match=r"^add at features\.3 \(net\.py:12\): shapes \[2\] and \[3\] do not"
    ) as caught:
        builder.emit(Add(), x, builder.input("y", TensorType((3,))))
    assert caught.value.where == "add at features.3 (net.py:12)"
    assert builder.nodes == ()


def test_places_say_what_is_known():
    assert describe_place("relu", "", None) == "relu"
    assert describe_place("relu", "a.b", None) == "relu at a.b"
    assert describe_place("relu", "", Source("x/y.py", 3)) == "relu (y.py:3)"


def test_a_graph_knows_who_makes_and_reads_what():
    builder, x = start()
    y = builder.emit(Relu(), x, name="y")
    z = builder.emit(Mul(), y, y, name="z")
    graph = builder.finish([z, y, z], {})
    assert graph.producers.keys() == {"y", "z"}
    assert [node.name for node in graph.consumers["y"]] == ["z"]
    assert graph.consumers["z"] == ()
    assert [value.name for value in graph.values()] == ["x", "y", "z"]


def test_an_unknown_node_is_refused_with_those_there_are():
    builder, x = start()
    graph = builder.finish([builder.emit(Relu(), x, name="y")], {})
    with pytest.raises(ConvirError, match="graph g has no node 'q'; it has y"):
        graph.node("q")


def test_graphs_are_immutable_and_compare_by_value():
    def made():
        builder, x = start()
        return builder.finish([builder.emit(Relu(), x, name="y")], {})

    assert made() == made()
    with pytest.raises(FrozenInstanceError):
        made().name = "other"
    assert made().replace(name="other").name == "other"


def test_the_text_form():
    builder = Builder("net")
    x = builder.input("x", TensorType((1, 1, 4, 4)))
    w = builder.param("conv.weight", TensorType((2, 1, 3, 3)))
    builder.provenance = Provenance("conv")
    y = builder.emit(Conv2d(padding=(1, 1)), x, w, name="conv")
    builder.provenance = Provenance(made_by="some_pass")
    z = builder.emit(Relu(), y)
    assert str(builder.finish([z, y], {})) == (
        "graph net(x: f32[1,1,4,4]) -> (f32[1,2,4,4], f32[1,2,4,4]):\n"
        "  conv = conv2d(x, conv.weight, stride=(1, 1), padding=(1, 1)) : f32[1,2,4,4]   # conv\n"
        "  relu = relu(conv) : f32[1,2,4,4]                                              # <- some_pass\n"
        "  return relu, conv"
    )


def test_values_print_their_type():
    assert str(Value("x", TensorType((2,)))) == "x: f32[2]"


def test_a_node_of_a_taken_name_is_not_put_over_the_first():
    builder, x = start()
    builder.emit(Relu(), x)
    (node,) = builder.nodes
    with pytest.raises(ConvirError, match="two nodes are named 'relu'"):
        builder.append(node)


def test_the_latest_nodes_come_in_order():
    builder, x = start()
    for _ in range(3):
        builder.emit(Relu(), x)
    assert len(builder) == 3
    assert builder.latest(2) == builder.nodes[1:]
    assert builder.latest(0) == ()
