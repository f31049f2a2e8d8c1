"""The rewriter: names, provenance, dead nodes, and what a rule may return."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from support.graphs import assert_close, assert_leaves, assert_rewrites, bind, random_values, results
from support.random_graphs import random_graphs

import convir
from convir import TensorType
from convir.compiler import pipeline
from convir.ir import Builder, Graph, Source, verify
from convir.ir.ops import Add, Exp, Mul, Neg, Relu, Tanh
from convir.passes.rewrite import Rewriter, rewrite, sweep


class Rule:
    """A pass made from a rule."""

    name = "rule"

    def __init__(self, rule):
        self.rule = rule

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, self.rule, self.name)


def square_of_relu() -> Graph:
    builder = Builder("f")
    x = builder.input("x", TensorType((3,)))
    y = builder.emit(Relu(), x, name="y")
    return builder.finish([builder.emit(Mul(), y, y, name="z")], {})


def test_none_leaves_every_node_alone():
    assert_leaves(Rule(lambda rewriter, node, operands: None), square_of_relu())


def test_a_rule_may_return_an_operand():
    def forget_relu(rewriter, node, operands):
        return operands[0] if isinstance(node.op, Relu) else None

    after = Rule(forget_relu)(square_of_relu())
    assert [str(v) for v in after.node("z").inputs] == ["x: f32[3]", "x: f32[3]"]
    verify(after)


def test_a_rule_may_emit_several_nodes_and_the_name_goes_to_the_one_that_asks_for_it():
    def by_exponent(rewriter: Rewriter, node, operands):
        if not isinstance(node.op, Mul):
            return None
        both = rewriter.emit(Add(), *operands)
        return rewriter.emit(Mul(), rewriter.emit(Neg(), both), rewriter.emit(Neg(), both), name=node.name)

    after = Rule(by_exponent)(square_of_relu())
    assert [node.name for node in after.nodes] == ["y", "z.add", "z.neg", "z.neg_1", "z"]


def test_emitted_nodes_inherit_the_place_of_the_node_they_replace():
    graph = square_of_relu()
    placed = replace(graph.node("z"), scope="block.0", source=Source("/home/net.py", 12), origin="square")
    graph = graph.replace(nodes=(graph.node("y"), placed))
    after = Rule(lambda rw, node, xs: rw.emit(Add(), *xs) if isinstance(node.op, Mul) else None)(graph)
    made = after.node("z.add")
    assert (made.scope, str(made.source), made.origin, made.made_by) == ("block.0", "net.py:12", "square", "rule")
    assert after.node("y").made_by == ""


def test_what_nobody_reads_any_more_is_swept():
    after = Rule(lambda rw, node, xs: rw.inputs[0] if isinstance(node.op, Mul) else None)(square_of_relu())
    assert after.nodes == ()
    assert after.outputs == after.inputs


def test_used_once_counts_operand_slots_and_outputs():
    builder = Builder("uses")
    x = builder.input("x", TensorType((2,)))
    once = builder.emit(Relu(), x, name="once")
    twice = builder.emit(Exp(), once, name="twice")
    product = builder.emit(Mul(), twice, twice, name="product")
    read_and_returned = builder.emit(Neg(), product, name="neg")
    graph = builder.finish([builder.emit(Tanh(), read_and_returned), read_and_returned], {})
    seen = {}
    Rule(lambda rw, node, xs: seen.update({n.name: rw.used_once(n) for n in node.inputs}))(graph)
    assert seen == {"x": True, "once": True, "twice": False, "product": True, "neg": False}


def test_sweep_keeps_inputs_and_drops_unread_parameters():
    builder = Builder("sweep")
    x = builder.input("x", TensorType((2,)))
    builder.input("idle", TensorType((2,)))
    w, v = (builder.param(name, TensorType((2,))) for name in "wv")
    builder.emit(Mul(), x, v, name="dead")
    swept = sweep(builder.finish([builder.emit(Mul(), x, w, name="y")], {}))
    assert [value.name for value in swept.inputs] == ["x", "idle"]
    assert [value.name for value in swept.params] == ["w"]
    assert [node.name for node in swept.nodes] == ["y"]


def test_a_rewrite_checks_structure_and_value():
    """``assert_rewrites`` sees a rewrite that changes what is computed."""
    wrong = Rule(lambda rw, node, xs: rw.emit(Add(), *xs, name=node.name) if isinstance(node.op, Mul) else None)
    expected = """
        graph f(x: f32[3]) -> f32[3]:
          y = relu(x) : f32[3]
          z = add(y, y) : f32[3]
          return z
    """
    with pytest.raises(AssertionError, match="Mismatched elements"):
        assert_rewrites(wrong, square_of_relu(), expected)
    with pytest.raises(AssertionError, match="before:"):
        assert_rewrites(wrong, square_of_relu(), expected.replace("add", "sub"))


@given(random_graphs())
@settings(max_examples=40)
def test_every_pass_of_the_pipelines_keeps_every_value(graph):
    """Random graphs, pass by pass: outputs, and gradients from where there are any."""
    for inference in (False, True):
        before = graph
        for transform in pipeline(inference=inference):
            after = transform(before)
            verify(after, after=transform.name)
            values = random_values(graph) | random_values(bind(before)) | random_values(after)
            values |= {name: bound.data for name, bound in graph.bindings.items()}
            count = len(before.outputs)
            assert_close(results(after, values)[:count], results(before, values), 1e-10)
            before = after


def test_passes_are_named_as_in_the_design():
    assert [transform.name for transform in convir.pipeline()] == [
        "fold_constants",
        "eliminate_common_subexpressions",
        "fuse_relu",
        "sink_epilogue",
        "differentiate",
        "lower_conv",
        "lower_pool",
        "assign_layout",
        "pool_blocks",
        "absorb_transposes",
        "eliminate_common_subexpressions",
        "eliminate_dead_code",
    ]
    assert all(transform.__doc__ and "=>" in transform.__doc__ for transform in convir.pipeline())
