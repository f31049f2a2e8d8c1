"""The batch stays innermost from the input's transpose to the outputs: through reshapes, linear layers and losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import assert_close, assert_leaves, assert_rewrites, joint, random_values, results

import convir
from convir import TensorType, training, zoo
from convir.ir import Builder, Graph, verify
from convir.ir.ops import (
    CHWN,
    NCHW,
    CrossEntropy,
    DropoutMask,
    Flatten,
    MatMul,
    Reshape,
    Transpose,
    permutation,
)
from convir.passes.absorb_transposes import AbsorbTransposes
from convir.passes.assign_layout import AssignLayout

ASSIGN = AssignLayout()
TO_NCHW, SWAP = permutation(CHWN, NCHW), (1, 0)


def transposed(shape=(2, 3, 4, 5), order=TO_NCHW):
    """A builder with an input and its transpose."""
    builder = Builder("f")
    return builder, builder.emit(Transpose(order), builder.input("x", TensorType(shape)), name="t")


def check(graph: Graph) -> Graph:
    """The pass keeps the graph valid and its results; returns it."""
    after = ASSIGN(graph)
    verify(after)
    values = random_values(graph)
    assert_close(results(after, values), results(graph, values), 1e-6)
    return after


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def test_flatten_reads_chwn_as_it_lies():
    builder, t = transposed((3, 4, 5, 2))
    assert_rewrites(
        ASSIGN,
        builder.finish([builder.emit(Flatten(), t, name="flat")], {}),
        """
        graph f(x: f32[3,4,5,2]) -> f32[2,60]:
          flat = reshape(x, shape=(60, 2)) : f32[60,2]
          flat.transpose = transpose(flat, permutation=(1, 0)) : f32[2,60]
          return flat.transpose
        """,
    )


def test_a_reshape_that_splits_keeps_the_batch_innermost():
    builder, t = transposed((60, 2), SWAP)
    graph = check(builder.finish([builder.emit(Reshape((2, 3, 4, 5)), t, name="y")], {}))
    assert ops(graph) == ["reshape", "transpose"]
    assert graph.node("y").outputs[0].type.shape == (3, 4, 5, 2)


@pytest.mark.parametrize(
    ("shape", "order", "target"), [((3, 4, 5, 2), TO_NCHW, (6, 20)), ((2, 3, 4), (0, 2, 1), (2, 12))]
)
def test_a_reshape_that_mixes_axes_stays(shape, order, target):
    builder, t = transposed(shape, order)
    assert_leaves(ASSIGN, builder.finish([builder.emit(Reshape(target), t)], {}))


@st.composite
def reshaped_transposes(draw):
    """(shape, order, target): any transpose, and any reshape of what it gives."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    order = draw(st.permutations(range(len(shape))))
    factors = [factor for axis in order for factor in ((2, 2) if shape[axis] == 4 else (shape[axis],))]
    target = [draw(st.sampled_from([1, factors[0]]))]
    for factor in factors[1:] if target[0] == factors[0] else factors:
        if draw(st.booleans()):
            target[-1] *= factor
        else:
            target += [*([1] * draw(st.integers(0, 1))), factor]
    return shape, tuple(order), tuple(target)


@given(reshaped_transposes())
def test_any_reshape_of_any_transpose_keeps_its_values(case):
    shape, order, target = case
    builder, t = transposed(shape, order)
    check(builder.finish([builder.emit(Reshape(target), t)], {}))


def linear(op: MatMul, *biases: tuple[int, ...], swapped: tuple[int, ...] = (0,)) -> Graph:
    """A product (5, 3) @ (3, 4), plus biases, whose operands in ``swapped`` are transposes."""
    builder = Builder("f")
    shapes = [(3, 5) if op.transpose_a else (5, 3), (4, 3) if op.transpose_b else (3, 4)]
    operands = []
    for slot, shape in enumerate(shapes):
        if slot in swapped:
            operands.append(builder.emit(Transpose(SWAP), builder.input(f"x{slot}", TensorType(shape[::-1]))))
        else:
            operands.append(builder.input(f"x{slot}", TensorType(shape)))
    operands += [builder.param(f"b{i}", TensorType(shape)) for i, shape in enumerate(biases)]
    return builder.finish([builder.emit(op, *operands, name="y")], {})


def test_a_transpose_sinks_through_a_linear_layer():
    assert_rewrites(
        ASSIGN,
        linear(MatMul(transpose_b=True, activation="relu"), (4,)),
        """
        graph f(x0: f32[3,5], x1: f32[4,3]) -> f32[5,4]:
          y.reshape = reshape(b0, shape=(4, 1)) : f32[4,1]
          y = matmul(x1, x0, y.reshape, activation=relu) : f32[4,5]
          y.transpose = transpose(y, permutation=(1, 0)) : f32[5,4]
          return y.transpose
        """,
    )


@pytest.mark.parametrize("bias", [None, (), (1,), (4,), (1, 4), (5, 1), (5, 4)], ids=str)
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("swapped", [(0,), (0, 1)], ids=str)
def test_any_bias_of_a_linear_layer(bias, transpose_b, swapped):
    graph = check(linear(MatMul(transpose_b=transpose_b), *([] if bias is None else [bias]), swapped=swapped))
    assert graph.node("y").outputs[0].type.shape == (4, 5)
    assert ops(graph).count("transpose") == 1 + (1 in swapped) + (bias == (5, 4))


@pytest.mark.parametrize(
    ("op", "swapped"),
    [
        (MatMul(transpose_a=True), (0,)),
        (MatMul(transpose_a=True), (0, 1)),
        (MatMul(), (1,)),
        (MatMul(transpose_b=True), (1,)),
    ],
)
def test_products_that_sum_over_the_innermost_axis_stay_and_take_it_as_a_flag(op, swapped):
    graph = linear(op, swapped=swapped)
    assert_leaves(ASSIGN, graph)
    assert "transpose" not in ops(AbsorbTransposes()(graph))


def test_cross_entropy_of_logits_with_the_batch_innermost():
    builder, t = transposed((4, 3), SWAP)
    loss = builder.emit(CrossEntropy(), t, builder.input("target", TensorType((3,), "int64")), name="loss")
    assert_rewrites(
        ASSIGN,
        joint(builder.finish([loss], {}), "x"),
        """
        graph f(x: f32[4,3], target: i64[3], loss.grad: f32[]) -> (f32[], f32[4,3]):
          loss = cross_entropy(x, target, class_axis=0) : f32[]
          t.grad = cross_entropy_grad(loss.grad, x, target, class_axis=0) : f32[4,3]
          return loss, t.grad
        """,
    )


def test_the_gradient_of_a_loss_over_rows_sinks_too():
    """``class_axis`` 0 in, 1 out."""
    builder, t = transposed((3, 4), SWAP)
    loss = builder.emit(CrossEntropy(class_axis=0), t, builder.input("target", TensorType((3,), "int64")))
    graph = check(joint(builder.finish([loss], {}), "x"))
    assert [node.op.class_axis for node in graph.nodes] == [1, 1]


def test_a_dropout_mask_is_drawn_as_in_the_model_and_copies_nothing_for_its_type():
    nn = convir.nn
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(18, 4), nn.Dropout(0.5))
    x = np.random.default_rng(0).standard_normal((3, 1, 5, 5)).astype("f")
    answers = []
    for conv in ("im2col", "naive"):
        compiled = convir.compile(model, x.shape, conv=conv)
        convir.manual_seed(5)
        answers.append(compiled(x))
        graph = compiled.graph
        read = [graph.producers[node.inputs[0].name] for node in graph.nodes if isinstance(node.op, DropoutMask)]
        assert not any(isinstance(node.op, Transpose) for node in read)
    assert (answers[0] == 0).any()
    assert_close(answers[:1], answers[1:], 1e-5)


@pytest.mark.parametrize("inference", [False, True])
def test_lenet5_keeps_the_batch_innermost_from_its_input_to_its_output(inference):
    compiled = convir.compile(zoo.lenet5(), (4, 1, 28, 28), inference=inference)
    transposes = [node.name for node in compiled.graph.nodes if isinstance(node.op, Transpose)]
    assert transposes == ["conv1.transpose", "fc3.transpose"]
    assert [compiled.graph.node(name).outputs[0].type.shape for name in ("flatten", "fc1", "fc2", "fc3")] == [
        *((400, 4), (120, 4)),
        *((84, 4), (10, 4)),
    ]
    if not inference:  # the gradient of the input, as the model has it
        backward = [
            node.outputs[0].type.shape for node in compiled.backward_graph.nodes if isinstance(node.op, Transpose)
        ]
        assert backward == [(4, 1, 28, 28)]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_training_step_of_lenet5_transposes_nothing_but_what_comes_in_and_goes_out(loss):
    target = TensorType((4,), "int64") if loss == "cross_entropy" else (4, 10)
    step = training.Step(zoo.lenet5(), loss, training.SGD(lr=0.1), (4, 1, 28, 28), target)
    forward, backward = step.compiled.graph, step.compiled.backward_graph
    sources = [node.inputs[0].name for node in forward.nodes if isinstance(node.op, Transpose)]
    assert sources == ["x", "fc3", *([] if loss == "cross_entropy" else ["target"])]
    assert "transpose" not in ops(backward)


def test_a_perceptron_stays_in_its_own_layout():
    assert "transpose" not in ops(convir.compile(zoo.mlp(), (4, 1, 8, 8), inference=True).graph)
