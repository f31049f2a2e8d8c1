"""Clones, copies and threads; and what happens to a compiled model whose model is changed."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import convir
from convir import ConvirError, ExecutionError, UnsupportedError, VerifyError, nn
from convir.ir import TensorType
from convir.ir.ops import Literal, Relu, Sum, Transpose
from convir.passes.rewrite import rewrite

ONES = np.ones((1, 2), "float32")


def linear(value: float = 1.0) -> nn.Linear:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data[...] = value
    return layer


@pytest.mark.parametrize("duplicate", [convir.Compiled.clone, copy.copy, copy.deepcopy])
def test_a_copy_computes_the_same_in_memory_of_its_own(duplicate):
    model = linear(3)
    first = convir.compile(model, (1, 2))
    second = duplicate(first)
    assert not np.may_share_memory(first.executable.arena._bytes, second.executable.arena._bytes)
    first(ONES)
    np.testing.assert_array_equal(second(10 * ONES), [[60, 60]])
    np.testing.assert_array_equal(first.backward(ONES)["weight"], np.ones((2, 2)))
    model.weight.data[...] = 1
    np.testing.assert_array_equal(second(ONES), [[2, 2]])


def test_a_clone_follows_the_mode_and_not_the_trace():
    model = nn.Sequential(nn.Dropout(0.5))
    compiled = convir.compile(model, (4, 50))
    model.eval()
    x = np.ones((4, 50), "float32")
    np.testing.assert_array_equal(compiled.clone()(x), x)


def test_a_clone_compiles_nothing_again(monkeypatch):
    compiled = convir.compile(linear(), (1, 2))
    monkeypatch.setattr("convir.tiling.build", None)
    np.testing.assert_array_equal(compiled.clone()(ONES), [[2, 2]])


def test_pickling_is_refused():
    with pytest.raises(UnsupportedError, match=r"cannot be pickled.*state_dict"):
        pickle.dumps(convir.compile(linear(), (1, 2)))


def in_a_thread(function) -> list[BaseException]:
    caught = []

    def run():
        try:
            function()
        except ConvirError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught


def test_a_second_thread_is_turned_away_while_one_runs(monkeypatch):
    compiled = convir.compile(linear(), (1, 2))
    found = []
    run = compiled.executable.run
    monkeypatch.setattr(
        compiled.executable, "run", lambda half: (found.extend(in_a_thread(lambda: compiled(ONES))), run(half))
    )
    compiled(ONES)
    assert len(found) == 1
    assert isinstance(found[0], ExecutionError)
    assert "compiled.clone()" in str(found[0])


def test_a_backward_belongs_to_the_thread_of_its_forward():
    compiled = convir.compile(linear(), (1, 2))
    compiled(ONES)
    assert in_a_thread(lambda: compiled(5 * ONES)) == []
    with pytest.raises(ExecutionError, match="another thread called in between"):
        compiled.backward(ONES)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_parameter_or_module_that_is_replaced_is_traced_again(batch):
    model = nn.Sequential(linear(1), linear(1))
    compiled = convir.compile(model, (1, 2))
    x = np.ones((batch, 2), "float32")
    compiled(x)
    model[0].weight = nn.Parameter(np.full((2, 2), 10, "float32"))
    np.testing.assert_array_equal(compiled(x), np.full((batch, 2), 40))
    model[1] = linear(3)
    np.testing.assert_array_equal(compiled(x), np.full((batch, 2), 120))


def test_a_clone_made_after_a_parameter_was_replaced_has_the_new_one():
    model = nn.Sequential(linear(1))
    compiled = convir.compile(model, (1, 2))
    model[0].weight = nn.Parameter(np.full((2, 2), 10, "float32"))
    np.testing.assert_array_equal(compiled.clone()(ONES), [[20, 20]])


def test_a_call_that_fails_leaves_nothing_of_the_replaced_parameter(monkeypatch):
    model = nn.Sequential(linear(1))
    compiled = convir.compile(model, (1, 2))
    compiled(ONES)
    model[0].weight = nn.Parameter(np.full((2, 2), 10, "float32"))
    monkeypatch.setattr("convir.specialisations.trace", None)
    with pytest.raises(TypeError):
        compiled(ONES)
    monkeypatch.undo()
    np.testing.assert_array_equal(compiled(ONES), [[20, 20]])
    np.testing.assert_array_equal(compiled.clone()(ONES), [[20, 20]])


def test_a_snapshot_keeps_its_weights_and_refuses_to_trace_a_changed_model():
    model = nn.Sequential(linear(1))
    compiled = convir.compile(model, (1, 2), inference=True)
    model[0] = linear(7)
    np.testing.assert_array_equal(compiled(ONES), [[2, 2]])
    with pytest.raises(ExecutionError, match=r"replaced.*compile again"):
        compiled(np.ones((3, 2), "float32"))


def test_a_snapshot_ignores_the_mode():
    model = nn.Sequential(linear(1), nn.Dropout(0.5)).eval()
    compiled = convir.compile(model, (1, 2), inference=True)
    before = compiled.program
    model.train()
    compiled(ONES)
    assert compiled.program is before


def test_constants_of_specialisations_share_their_bytes():
    compiled = convir.compile(linear(), (1, 2), inference=True)
    arrays = []
    for batch in (1, 3):
        compiled(np.ones((batch, 2), "float32"))
        arrays.append(compiled.executable.arrays["weight"])
    assert np.shares_memory(*arrays)


def test_a_literal_copies_what_could_change():
    array = np.ones(3)
    literal = Literal(array)
    array[0] = 7
    assert literal.array[0] == 1
    view = array.view()
    view.flags.writeable = False
    assert not np.shares_memory(Literal(view).array, array)
    assert np.shares_memory(Literal(literal.array.reshape(3, 1)).array, literal.array)


@pytest.mark.parametrize(
    "option", [{"conv": "naive"}, {"pool": "naive"}, {"inference": True}, {"wrt": ["x"]}, {"of": [0]}], ids=str
)
def test_passes_and_the_options_they_are_made_from_are_not_given_together(option):
    (name,) = option
    with pytest.raises(ConvirError, match=f"{name}= would be ignored"):
        convir.compile(linear(), (1, 2), passes=convir.pipeline(), **option)


@dataclass(frozen=True)
class Rule:
    """A pass made of one rule."""

    rule: object
    name: str = "mine"

    def __call__(self, graph):
        return rewrite(graph, self.rule, self.name)


def test_a_pass_that_changes_a_type_is_named():
    def rule(rewriter, node, operands):
        return rewriter.emit(Sum((0,), keepdims=True), operands[0]) if isinstance(node.op, Relu) else None

    with pytest.raises(VerifyError, match=r"pass mine: relu.*f32\[3,2\] is replaced by .*f32\[1,2\]"):
        convir.compile(nn.ReLU(), (3, 2), passes=[Rule(rule)])


def test_a_pass_that_emits_what_does_not_fit_is_named():
    def rule(rewriter, node, operands):
        return rewriter.emit(Transpose((0, 5)), operands[0])

    with pytest.raises(VerifyError, match="pass mine: emitted an op that does not fit: transpose"):
        convir.compile(nn.ReLU(), (3, 2), passes=[Rule(rule)])


@pytest.mark.parametrize("bad", [3, lambda graph: graph])
def test_what_is_no_pass_is_refused(bad):
    with pytest.raises(ConvirError, match="a pass is a callable with a name"):
        convir.compile(nn.ReLU(), (3, 2), passes=[bad])


def test_sigmoid_is_right_far_from_zero():
    x = np.array([-80, -20, -1, 0, 20, 80, -np.inf, np.inf], "float32")
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype("float64")))
    y = convir.compile(nn.Sigmoid(), x.shape)(x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_a_missing_kernel_names_the_users_line():
    from convir.ir import Op

    @dataclass(frozen=True)
    class NoKernel(Op):
        """``y = x``"""

        name = "no_kernel"
        operand_names = ("input",)

        def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
            return operands

    try:

        def rule(rewriter, node, operands):
            return rewriter.emit(NoKernel(), operands[0])

        with pytest.raises(UnsupportedError, match=r"no_kernel \(test_compiled_sharing.py:\d+\): .*no NumPy kernel"):
            convir.compile(lambda x: x.relu(), (3, 2), passes=[Rule(rule)])
    finally:
        from convir.ir import OPS

        del OPS["no_kernel"]
