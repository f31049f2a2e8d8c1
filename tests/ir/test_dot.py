import html
import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from support.picture_nets import HOSTILE, ScopedBuilder, convnet, hostile, joint, lowered, stacked

import convir
from convir.ir import Builder, Graph, Node, Op, Provenance, TensorType, UnsupportedError, ops
from convir.ir.drawing.box import LOOKS, OTHER
from convir.ir.drawing.label import format_flops
from convir.ir.op import OPS

pygraphviz = pytest.importorskip("pygraphviz", reason="the structure of DOT text is read back with pygraphviz")


#: Nodes and edges of a drawing point into it, so it must outlive them; but not the interpreter's modules.
DRAWINGS = []


@pytest.fixture(autouse=True)
def _close_drawings():
    yield
    DRAWINGS.clear()


def parsed(graph: Graph, **options):
    DRAWINGS.append(pygraphviz.AGraph(string=graph.to_dot(**options)))
    return DRAWINGS[-1]


def edges(drawing) -> list:
    return [edge for edge in drawing.edges() if edge.attr["class"] != "spacer"]


def words(item) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", item.attr["label"])).split())


def classes(drawing, name: str) -> list[str]:
    return drawing.get_node(name).attr["class"].split()


def test_every_input_parameter_op_and_output_is_drawn():
    graph = convnet()
    names = {value.name for value in graph.values()} | {"output:0"}
    assert set(parsed(graph).nodes()) == names


def test_a_node_shows_its_name_its_op_and_what_is_unusual_about_it():
    drawing = parsed(convnet())
    assert words(drawing.get_node("features.0")) == "∗ features.0 conv2d 5x5 padding 2"  # noqa: RUF001
    assert words(drawing.get_node("features.2")) == "▽ features.2 max_pool2d 2x2 stride 2"
    assert "<B>features.0</B>" in drawing.get_node("features.0").attr["label"]


def test_edges_carry_types_and_parameters_carry_their_own():
    drawing = parsed(convnet())
    labels = {(edge[0], edge[1]): edge.attr["label"].strip() for edge in edges(drawing)}
    assert labels["x", "features.0"] == "f32[4,1,28,28]"
    assert labels["features.2", "flatten"] == "f32[4,6,14,14]"
    assert labels["features.0.weight", "features.0"] == ""
    assert words(drawing.get_node("features.0.weight")) == "features.0.weight f32[6,1,5,5]"
    assert words(drawing.get_node("output:0")) == "fc output f32[4,10]"


def test_scopes_are_nested_clusters_and_none_holds_a_single_box():
    drawing = parsed(convnet())
    found = {cluster.name: cluster for cluster in drawing.subgraphs()}
    assert set(found) == {"cluster_features", "cluster_fc"}
    inner = {cluster.name: cluster.nodes() for cluster in found["cluster_features"].subgraphs()}
    assert inner == {"cluster_features.0": ["features.0.weight", "features.0.bias", "features.0"]}
    assert "features.1" in found["cluster_features"]
    assert "flatten" not in found["cluster_features"]


def test_kinds_differ_by_sign_and_by_colour_and_every_op_has_one():
    assert len({look.sign for look in (*LOOKS.values(), OTHER)}) == len(LOOKS) + 1
    assert len({look.strong for look in (*LOOKS.values(), OTHER)}) == len(LOOKS) + 1
    assert {op.kind for op in OPS.values()} <= set(LOOKS)


@pytest.mark.parametrize("look", [*LOOKS.values(), OTHER])
def test_text_has_enough_contrast(look):
    assert contrast("#ffffff", look.strong) >= 4.5
    assert contrast("#1b1f24", look.tint) >= 7


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of the relative luminances."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_kind_of_op_that_nobody_knows_is_drawn_too():
    class Odd(Op):
        kind = "odd"

        def infer(self, *operands):
            return operands

    b = Builder("odd")
    graph = b.finish([b.emit(Odd(), b.input("x", TensorType((2,))), name="y")], {})
    assert words(parsed(graph).get_node("y")).startswith("• y")


def test_lowered_fused_and_view_nodes_are_marked():
    drawing = parsed(lowered())
    assert classes(drawing, "conv.patches") == ["op", "layout", "lowered"]
    assert classes(drawing, "conv") == ["op", "matmul", "lowered", "fused"]
    assert classes(drawing, "conv.image") == ["op", "layout", "lowered", "view"]
    assert drawing.get_node("conv").attr["style"] == "filled,dashed"
    assert drawing.get_node("conv").attr["peripheries"] == "2"
    assert drawing.get_node("conv.patches").attr["peripheries"] == "1"
    assert drawing.get_node("conv.image").attr["fillcolor"] == "white"
    assert words(drawing.get_node("conv")).endswith("matmul + bias + relu")


def test_a_traced_graph_has_no_marks_of_passes():
    drawing = parsed(convnet())
    assert classes(drawing, "features.0") == ["op", "convolution"]
    assert drawing.get_node("features.0").attr["style"] == "filled"


def test_a_fused_convolution_is_not_called_lowered():
    b = Builder("fused", made_by="fuse_relu")
    x, w = b.input("x", TensorType((1, 1, 4, 4))), b.param("w", TensorType((1, 1, 3, 3)))
    graph = b.finish([b.emit(ops.Conv2d(activation="relu"), x, w, name="y")], {})
    assert classes(parsed(graph), "y") == ["op", "convolution", "fused"]


def test_a_product_with_a_bias_is_fused_only_if_a_pass_put_the_bias_there():
    b = ScopedBuilder("linear")
    x, w, bias = (b.input(name, TensorType(shape)) for name, shape in (("x", (2, 2)), ("w", (2, 2)), ("bias", (2,))))
    y = b.node("fc", ops.MatMul(), x, w, bias)
    z = b.node("fc2", ops.MatMul(), y, w, bias, made_by="fuse_bias")
    drawing = parsed(b.finish([z], {}))
    assert classes(drawing, "fc") == ["op", "matmul"]
    assert words(drawing.get_node("fc")).endswith("matmul + bias")
    assert classes(drawing, "fc2") == ["op", "matmul", "fused"]


def test_the_backward_part_is_marked_whatever_pass_touched_it_last():
    drawing = parsed(joint())
    for name in ("relu.grad", "fc.grad", "fc.weight.grad", "fc.product"):
        assert "gradient" in classes(drawing, name)
        assert "∂" in words(drawing.get_node(name))
    for name in ("fc", "relu", "loss"):
        assert "gradient" not in classes(drawing, name)


def test_a_module_called_grad_is_not_a_gradient():
    b = Builder("named")
    b.provenance = Provenance(scope="block.grad")
    graph = b.finish([b.emit(ops.Relu(), b.input("x", TensorType((2,))), name="block.grad")], {})
    assert "gradient" not in classes(parsed(graph), "block.grad")


def test_backward_arrows_are_laid_out_upwards_beside_the_forward():
    backward = [edge for edge in edges(parsed(joint())) if edge.attr["class"] == "gradient"]
    # Written from reader to maker, with the arrowhead at the reader.
    assert ("fc.grad", "relu.grad") in [(edge[0], edge[1]) for edge in backward]
    assert {edge.attr["dir"] for edge in backward} == {"back"}
    kept = [(edge[0], edge[1]) for edge in edges(parsed(joint())) if edge.attr["class"] == "kept"]
    assert ("relu", "fc.grad") in kept


def test_a_backward_graph_alone_runs_downwards():
    whole = joint()
    half = whole.replace(
        inputs=(*whole.inputs, whole.node("relu").outputs[0]), nodes=whole.nodes[3:], outputs=whole.outputs[1:]
    )
    assert ("relu.grad", "fc.grad") in [(edge[0], edge[1]) for edge in edges(parsed(half))]


@pytest.mark.parametrize("graph", [convnet(), lowered(), joint(), stacked()], ids=lambda graph: graph.name)
@pytest.mark.parametrize("depth", [None, 0, 1, 2])
def test_the_layout_never_has_a_cycle(graph, depth):
    import networkx as nx

    drawing = parsed(graph, depth=depth)
    assert nx.is_directed_acyclic_graph(nx.DiGraph([(edge[0], edge[1]) for edge in drawing.edges()]))


def test_flops_are_shown_on_request():
    drawing = parsed(convnet(), flops={"features.0": 1_234_567, "fc": 0})
    assert words(drawing.get_node("features.0")).endswith("1.2 MFLOP")
    assert words(drawing.get_node("fc")).endswith("0 FLOP")
    assert "FLOP" not in words(drawing.get_node("features.1"))
    assert "FLOP" not in convnet().to_dot()


def test_flops_of_a_report_are_shown():
    rows = [SimpleNamespace(name=name, flops=flops) for name, flops in (("fc", 2e6), ("features.0", None), ("gone", 0))]
    assert convnet().to_dot(flops=SimpleNamespace(rows=rows)) == convnet().to_dot(flops={"fc": 2e6})
    estimated = convir.estimate(convnet())
    named = {row.name: row.flops for row in estimated.rows if row.flops}
    assert convnet().to_dot(flops=estimated) == convnet().to_dot(flops=named)
    assert named.keys() == {"features.0", "fc"}


def test_an_option_that_does_not_exist_is_named():
    for draw in (convnet().to_dot, partial(convnet().render, "net.svg")):
        with pytest.raises(TypeError, match=r"Graph\.(to_dot|render)\(\) got an unexpected keyword argument 'flop'"):
            draw(flop=True)


@pytest.mark.parametrize("depth", [None, 1])
def test_no_node_is_hashed_since_that_takes_time(monkeypatch, depth):
    """A node's hash is that of all its fields, so dictionaries and sets of nodes, or of boxes of nodes, are slow."""
    graph = stacked(20)
    hashed = []
    monkeypatch.setattr(Node, "__hash__", lambda node: hashed.append(node) or 0)
    graph.to_dot(depth=depth)
    assert hashed == []


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 FLOP"),
        (999, "999 FLOP"),
        (1000, "1.0 kFLOP"),
        (999_960, "1.0 MFLOP"),
        (2.5e9, "2.5 GFLOP"),
        (3e16, "30.0 PFLOP"),
    ],
)
def test_flops_are_formatted_with_a_prefix(count, text):
    assert format_flops(count) == text


def test_depth_collapses_deeper_scopes_to_one_box_with_its_op_count():
    drawing = parsed(stacked(), depth=1, flops={"net.1.a": 10, "net.1.b": 20})
    assert {cluster.name for cluster in drawing.subgraphs()} == {"cluster_net"}
    assert set(drawing.nodes()) == {"x", "net.0", "net.1", "net.2", "net.0'", "output:0"}
    assert words(drawing.get_node("net.1")) == "… net.1 3 ops: 2 relu, mul 30 FLOP 5 parameters"


def test_ops_of_a_scope_that_is_not_too_deep_stay_apart():
    assert {"conv.patches", "conv"} <= set(parsed(lowered(), depth=1).nodes())
    assert set(parsed(lowered(), depth=0).nodes()) == {"x", "conv'", "output:0"}


def test_a_parameter_that_is_read_elsewhere_too_is_drawn_for_that_reader_only():
    graph = lowered()
    b = ScopedBuilder("tied")
    b.params, b.inputs = list(graph.params), list(graph.inputs)
    for node in graph.nodes:
        b.append(node)
    weight = graph.params[0]
    drawing = parsed(b.finish([graph.outputs[0], b.node("", ops.Neg(), weight, name="tied")], {}), depth=0)
    assert [(edge[0], edge[1]) for edge in drawing.edges() if edge[0] == "conv.weight"] == [("conv.weight", "tied")]


def test_depth_zero_makes_one_box_of_every_module():
    assert set(parsed(stacked(), depth=0).nodes()) == {"x", "net", "output:0"}


def test_a_scope_of_one_op_stays_that_op_when_collapsed():
    assert "features.1" in parsed(convnet(), depth=1).nodes()


def test_forward_and_backward_of_a_module_collapse_apart():
    graph = joint()
    nodes = tuple(replace(node, scope="net.x") for node in graph.nodes)
    drawing = parsed(graph.replace(nodes=nodes), depth=0)
    assert {"net", "net'"} <= set(drawing.nodes())
    assert "gradient" in classes(drawing, "net'")


def test_parameters_can_be_left_out():
    drawing = parsed(convnet(), params=False)
    assert not [name for name in drawing.nodes() if "weight" in name or "bias" in name]
    assert ("x", "features.0") in [(edge[0], edge[1]) for edge in drawing.edges()]


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_direction(direction):
    assert parsed(convnet(), direction=direction).graph_attr["rankdir"] == direction


def test_the_caption_names_the_graph_and_the_legend_explains_what_occurs():
    caption = words_of_caption(lowered())
    assert "lowered 3 ops, 60 parameters" in caption
    assert "made by lower_conv" in caption
    assert "fused" in caption
    assert "pooling" not in caption
    assert "backward" in words_of_caption(joint())
    assert "matmul" not in words_of_caption(lowered(), legend=False)


def words_of_caption(graph, **options) -> str:
    label = parsed(graph, **options).graph_attr["label"]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", label)).split())


def test_tooltips_say_the_text_form_and_the_place():
    drawing = parsed(lowered())
    tooltip = drawing.get_node("conv.patches").attr["tooltip"]
    assert "conv.patches = im2col(x, kernel_size=(3, 3)" in tooltip
    assert "net.py:12" in tooltip
    assert "made by lower_conv" in tooltip


def test_hostile_names_stay_apart_and_keep_their_edges():
    drawing = parsed(hostile())
    # An input, an op and a parameter a name, and two outputs.
    assert len(drawing.nodes()) == 1 + 2 * len(HOSTILE) + 2
    assert len(edges(drawing)) == 2 * len(HOSTILE) + 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "RL"}, "direction must be 'TB' or 'LR', got 'RL'"),
        ({"depth": -1}, "depth must be None or an integer of at least 0, got -1"),
        ({"depth": True}, "got True"),
        ({"dpi": 0}, "dpi must be None or an integer of at least 1, got 0"),
        ({"dpi": "high"}, "dpi must be None or an integer of at least 1, got 'high'"),
        ({"flops": {"nowhere": 1}}, "flops lists 'nowhere', which is no node of graph convnet"),
        ({"flops": {7: 1}}, "flops lists 7, which is no node of graph convnet"),
        ({"flops": {"fc": "many"}}, "flops gives 'many' for 'fc', which is no number"),
        ({"flops": True}, "or a report with rows, got True; pass flops=convir.estimate(graph)"),
        ({"flops": [1]}, "flops must be a mapping from node names to FLOPs or a report with rows, got [1]"),
        ({"flops": SimpleNamespace(rows=[1])}, "flops must be a mapping from node names to FLOPs or a report"),
        ({"flops": SimpleNamespace(rows=[SimpleNamespace(name="nowhere", flops=1)])}, "flops lists 'nowhere'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        convnet().to_dot(**options)


def test_the_text_is_deterministic():
    assert joint().to_dot() == joint().to_dot()


def test_an_empty_graph_is_drawn():
    assert parsed(Graph("empty", (), (), (), ())).nodes() == []
