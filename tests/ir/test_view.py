import subprocess
import sys

import networkx as nx
from support.picture_nets import convnet, joint, lowered

from convir.ir import Builder, TensorType, ops


def test_there_is_a_node_for_every_input_parameter_and_op():
    graph = convnet()
    view = graph.to_networkx()
    assert isinstance(view, nx.MultiDiGraph)
    assert list(view) == ["x", "features.0.weight", "features.0.bias", "fc.weight", *(n.name for n in graph.nodes)]
    assert [view.nodes[name]["role"] for name in ("x", "fc.weight", "fc")] == ["input", "param", "node"]


def test_nodes_carry_op_type_and_provenance():
    graph = lowered()
    data = graph.to_networkx().nodes["conv.patches"]
    assert data["op"] == "im2col"
    assert data["kind"] == "layout"
    assert data["type"] == TensorType((9, 144))
    assert data["scope"] == "conv"
    assert data["made_by"] == "lower_conv"
    assert data["node"] is graph.node("conv.patches")


def test_every_node_has_the_same_attributes():
    view = joint().to_networkx()
    assert len({frozenset(data) for _, data in view.nodes(data=True)}) == 1


def test_edges_carry_value_type_and_operand_index():
    view = convnet().to_networkx()
    assert dict(view.edges["features.0.bias", "features.0", 2]) == {
        "value": "features.0.bias",
        "type": TensorType((6,)),
        "nbytes": 24,
        "operand": 2,
    }


def test_an_operand_used_twice_is_two_edges():
    b = Builder("square")
    x = b.input("x", TensorType((2,)))
    view = b.finish([b.emit(ops.Mul(), x, x, name="y")], {}).to_networkx()
    assert list(view.edges(keys=True)) == [("x", "y", 0), ("x", "y", 1)]


def test_output_positions_are_marked_even_if_a_value_stands_twice():
    b = Builder("twice")
    x = b.input("x", TensorType((2,)))
    y = b.emit(ops.Relu(), x, name="y")
    view = b.finish([y, x, y], {}).to_networkx()
    assert view.graph["outputs"] == ("y", "x", "y")
    assert view.nodes["y"]["outputs"] == (0, 2)
    assert view.nodes["x"]["outputs"] == (1,)


def test_the_view_answers_graph_questions():
    view = joint().to_networkx()
    assert nx.is_directed_acyclic_graph(view)
    assert "fc.weight.grad" in nx.descendants(view, "x")
    assert "fc.product" not in nx.ancestors(view, "loss")


def test_changing_the_view_leaves_the_graph_alone():
    graph = convnet()
    graph.to_networkx().remove_node("fc")
    assert graph.to_networkx().has_node("fc")


def test_importing_the_ir_imports_no_graph_library():
    code = "import sys, convir.ir; print([m for m in ('networkx', 'graphviz', 'pygraphviz') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
