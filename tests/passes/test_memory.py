"""The memory plan: no two live values overlap, and what is planned is what is allocated."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.graphs import bind, graph_of, random_values
from support.lifetimes import assert_plan_is_sound, assert_runs_undisturbed
from support.random_graphs import random_graphs

import convir
from convir import TensorType, zoo
from convir.compiler import Program, build, pipeline
from convir.ir import Builder, Graph
from convir.ir.ops import Add, Constant, Flatten, Literal, MatMul, Mul, Neg, Relu, Reshape, Sigmoid, Tanh, Transpose
from convir.passes.liveness import ALIGNMENT, steps
from convir.passes.memory import MemoryPlan, plan_memory
from convir.runtime import NUMPY, Executable

WIDE = TensorType((100,))  # 400 bytes, 448 in the arena


def program_of(graph: Graph, **options) -> Program:
    return build(graph, pipeline(**options))


def executable_of(program: Program) -> Executable:
    return Executable(program.memory, {name: bound.data for name, bound in program.parameters.items()})


def values_of(program: Program) -> dict[str, np.ndarray]:
    """Random data for the inputs, the parameters and the cotangents."""
    joint = next(stage.graph for stage in reversed(program.stages) if not stage.name.startswith("split"))
    return random_values(joint)


def chain(*ops, keep: int | None = None) -> Graph:
    """Ops one after another; the result of op number ``keep`` is an output too."""
    builder = Builder("chain")
    values = [builder.input("x", WIDE)]
    for op in ops:
        values.append(builder.emit(op, values[-1]))
    outputs = [values[-1]] if keep is None else [values[-1], values[keep]]
    return builder.finish(outputs, {})


def places(plan: MemoryPlan) -> list[tuple[str, ...]]:
    return [buffer.values for buffer in plan.buffers]


def test_elementwise_results_take_over_the_buffer_of_their_operand():
    plan = plan_memory([chain(Relu(), Tanh(), Neg())])
    assert places(plan) == [("x", "relu", "tanh", "neg")]
    assert plan.peak_bytes == 448


def test_an_operand_that_is_read_later_keeps_its_buffer():
    builder = Builder("twice")
    x = builder.input("x", WIDE)
    y = builder.emit(Relu(), x)
    z = builder.emit(Tanh(), y)
    plan = plan_memory([builder.finish([builder.emit(Add(), y, z)], {})])
    assert places(plan) == [("x", "relu"), ("tanh",)] or places(plan) == [("x", "relu", "add"), ("tanh",)]
    assert plan.peak_bytes == 2 * 448


def test_an_output_is_not_overwritten():
    plan = plan_memory([chain(Relu(), Tanh(), Neg(), keep=1)])
    assert places(plan) == [("x", "relu"), ("tanh", "neg")]


def test_an_input_that_is_an_output_is_not_overwritten():
    plan = plan_memory([chain(Relu(), Tanh(), keep=0)])
    assert places(plan) == [("x",), ("relu", "tanh")]


def test_a_view_shares_its_operands_buffer_and_keeps_it_alive():
    builder = Builder("views")
    x = builder.input("x", TensorType((10, 10)))
    y = builder.emit(Relu(), x)
    view = builder.emit(Flatten(0), y)
    other = builder.emit(Tanh(), y)
    plan = plan_memory([builder.finish([other, view], {})])
    assert places(plan) == [("x", "relu", "flatten"), ("tanh",)]


def test_a_view_of_a_parameter_or_constant_has_no_buffer():
    builder = Builder("outside")
    x = builder.input("x", TensorType((4,)))
    w = builder.emit(Reshape((4,)), builder.param("w", TensorType((2, 2))))
    c = builder.emit(Reshape((4,)), builder.emit(Constant(Literal(np.ones((2, 2), "f")))))
    total = builder.emit(Add(), w, c)
    plan = plan_memory([builder.finish([builder.emit(Mul(), x, total)], {})])
    assert set(plan.buffer_of) == {"x", "add", "mul"}
    assert plan.parameter_bytes == 2 * 16


def test_a_result_of_another_type_is_not_computed_in_place():
    builder = Builder("broadcast")
    x = builder.input("x", TensorType((4,)))
    y = builder.input("y", TensorType((3, 1)))
    plan = plan_memory([builder.finish([builder.emit(Add(), x, y)], {})])
    assert len(plan.buffers) == 3


def test_an_operand_named_twice_may_be_overwritten():
    builder = Builder("square")
    x = builder.input("x", WIDE)
    plan = plan_memory([builder.finish([builder.emit(Mul(), x, x)], {})])
    assert places(plan) == [("x", "mul")]


def test_buffers_start_at_cache_lines_and_reuse_what_is_free():
    builder = Builder("reuse")
    x = builder.input("x", TensorType((3, 5)))
    y = builder.emit(Transpose((1, 0)), x)
    z = builder.emit(Transpose((1, 0)), y)
    plan = plan_memory([builder.finish([builder.emit(Transpose((1, 0)), z)], {})])
    assert [buffer.offset for buffer in plan.buffers] == [0, ALIGNMENT, 0, ALIGNMENT]
    assert plan.peak_bytes == 2 * ALIGNMENT


def test_scratch_lives_for_one_step_only():
    graph = graph_of(Relu(), (100,))
    kernels = SimpleNamespace(
        scratch=lambda node: [TensorType((100,))], inplace=lambda node: node.op.inplace, watched=lambda node: ()
    )
    plan = plan_memory([graph], kernels)
    (scratch,) = [buffer for buffer in plan.buffers if buffer.kind == "scratch"]
    assert (scratch.first, scratch.last) == (1, 1)
    assert plan.peak_bytes == 2 * 448
    assert plan.scratch_bytes("relu") == 400


def test_buffers_live_from_the_step_that_writes_them_to_the_last_that_reads_them():
    program = program_of(convir.trace(zoo.mlp(), (2, 1, 8, 8)))
    when = {node.name: step for step, node in steps(program.graphs)}
    end = {graph.name: max(when[node.name] for node in graph.nodes) + 1 for graph in program.graphs}
    for buffer in program.memory.buffers:
        written = [when[name] for name in buffer.values if name in when]
        readers = [when[n.name] for g in program.graphs for n in g.nodes for v in n.inputs if v.name in buffer.values]
        readers += [end[g.name] for g in program.graphs for v in g.outputs if v.name in buffer.values]
        if buffer.op == "input":
            assert buffer.first in (0, end["mlp"])
        elif buffer.kind != "scratch" or written:
            assert buffer.first == min(written)
            assert buffer.last == max([*readers, *written])


def test_the_parts_at_the_peak_add_up_to_the_arena():
    program = program_of(convir.trace(zoo.lenet5(), (2, 1, 28, 28)))
    parts = program.memory.peak_by_kind()
    assert sum(parts.values()) == program.memory.peak_bytes
    assert parts["fragmentation"] >= 0
    assert program.memory.total_bytes == program.memory.peak_bytes + program.memory.parameter_bytes
    assert sum(program.memory.total_by_kind().values()) > program.memory.peak_bytes


def rooms(*elements: int, itemsize: int = 4) -> int:
    """Bytes of the arena that arrays of these sizes take."""
    return sum(-(-count * itemsize // ALIGNMENT) * ALIGNMENT for count in elements)


class Small(convir.nn.Sequential):
    """Two images of 4x4 -> 2 maps of 4x4, padding 1 -> 2x2 -> 3 numbers."""

    def __init__(self):
        nn = convir.nn
        super().__init__(
            *(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), *(nn.Flatten(), nn.Linear(2 * 2 * 2, 3))
        )


IMAGE, PADDED, PATCHES = 2 * 1 * 4 * 4, 2 * 1 * 6 * 6, (1 * 3 * 3) * (2 * 4 * 4)
MAPS, POOLED, ANSWER = 2 * 2 * 4 * 4, 2 * 2 * 2 * 2, 2 * 3


def test_kinds_of_a_net_worked_out_by_hand_for_inference():
    program = program_of(convir.trace(Small(), (2, 1, 4, 4)), conv="im2col", inference=True)
    assert program.memory.total_by_kind() == {
        "input": rooms(IMAGE),
        # relu is in the epilogue of the pooling, the flattened maps are a view of the pooled ones; the answer with
        # the batch innermost, then as the model has it.
        "activation": rooms(MAPS, POOLED, ANSWER, ANSWER),
        "gradient": 0,
        # The image in CHWN, that with its padding, and the patch matrix.
        "scratch": rooms(IMAGE, PADDED, PATCHES),
    }


def test_kinds_of_a_net_worked_out_by_hand_for_training():
    program = program_of(convir.trace(Small(), (2, 1, 4, 4)), conv="im2col")
    assert program.memory.total_by_kind() == {
        "input": rooms(IMAGE),
        # The transposed image is kept for the backward.
        "activation": rooms(IMAGE, MAPS, POOLED, ANSWER, ANSWER),
        # The cotangent; of the linear layer; of the pooled maps, with relu's in place, and of the maps; of the
        # convolution; of the image.
        "gradient": rooms(ANSWER) + rooms(3 * 8, 3) + rooms(POOLED, MAPS) + rooms(2 * 9, 2) + rooms(IMAGE),
        # The patch matrix is made twice: it is too large to keep. Then the gradient's patch matrix, added up with
        # its padding, and without. Pooling marks whom no tap has claimed and whom this one claims, and selects;
        # so does relu.
        "scratch": rooms(*[PADDED, PATCHES] * 2)
        + rooms(PATCHES, PADDED, IMAGE)
        + rooms(POOLED, POOLED, itemsize=1)
        + rooms(POOLED)
        + rooms(POOLED, itemsize=1)
        + rooms(POOLED),
    }


def test_kinds_of_a_net_that_is_left_naive():
    program = program_of(convir.trace(Small(), (2, 1, 4, 4)), conv="naive", pool="naive", inference=True)
    kinds = program.memory.total_by_kind()
    assert kinds == {"input": rooms(IMAGE), "activation": rooms(MAPS, POOLED, ANSWER), "gradient": 0, "scratch": 0}


def test_parameters_are_counted_once():
    program = program_of(convir.trace(zoo.lenet5(), (2, 1, 28, 28)))
    assert program.memory.parameter_bytes == 61_706 * 4


@pytest.mark.parametrize(("batch", "channels", "size", "kernel"), [(3, 2, 9, 3), (1, 3, 8, 5), (2, 1, 7, 2)])
def test_im2col_scratch_is_the_patch_matrix(batch, channels, size, kernel):
    model = convir.nn.Sequential(convir.nn.Conv2d(channels, 4, kernel))
    plan = convir.compile(model, (batch, channels, size, size), conv="im2col").memory
    out = size - kernel + 1
    assert plan.scratch_bytes("im2col") == channels * kernel * kernel * batch * out * out * 4


@pytest.mark.parametrize("options", [{}, {"conv": "naive", "pool": "naive"}, {"inference": True}], ids=str)
def test_lenet5_plan_is_sound(options):
    graph = convir.trace(zoo.lenet5(), (2, 1, 28, 28))
    program = program_of(graph, **options)
    assert_plan_is_sound(program.memory)
    assert executable_of(program).arena.nbytes == program.memory.peak_bytes


def test_lenet5_runs_undisturbed():
    program = program_of(convir.trace(zoo.lenet5(), (2, 1, 28, 28)))
    assert_runs_undisturbed(executable_of(program), values_of(program), rtol=1e-5)


class Loss(convir.nn.Module):
    """Everything that needs scratch: dropout, average pooling, overlapping windows, a loss."""

    def __init__(self):
        self.conv = convir.nn.Conv2d(1, 2, 3, padding=1)
        self.fc = convir.nn.Linear(2 * 3 * 3, 4)

    def forward(self, x, target):
        f = convir.nn.functional
        x = f.sigmoid(f.max_pool2d(self.conv(x), 3, 2))
        x = f.tanh(f.avg_pool2d(f.dropout(x, 0.5), 2, 1, 1, count_include_pad=False))
        return f.cross_entropy(self.fc(f.avg_pool2d(x, 2, 1).flatten(1)), target)


def test_every_kernel_scratch_is_in_the_plan():
    program = program_of(convir.trace(Loss(), (3, 1, 7, 7), TensorType((3,), "int64")))
    used = {node.op.name for graph in program.graphs for node in graph.nodes if NUMPY.scratch(node)}
    assert used >= {"max_pool2d_grad_taps", "avg_pool2d_grad_taps", "dropout_mask", "cross_entropy_grad", "tanh_grad"}
    assert_plan_is_sound(program.memory)


@given(random_graphs())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_have_sound_plans_and_run_undisturbed(graph):
    program = program_of(graph)
    assert_plan_is_sound(program.memory)
    executable = executable_of(program)
    assert executable.arena.nbytes == program.memory.peak_bytes
    assert_runs_undisturbed(executable, values_of(program))


@given(random_graphs(dtype="float32"))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_have_sound_plans_for_inference(graph):
    program = program_of(graph, inference=True)
    assert_plan_is_sound(program.memory)
    assert_runs_undisturbed(executable_of(program), values_of(program), rtol=1e-4)


def broken(program: Program, first: str, second: str) -> MemoryPlan:
    """The plan with the buffer of one value moved onto another's."""
    plan = program.memory
    target = plan.buffer_of[second].offset
    moved = [replace(b, offset=target) if first in b.values else b for b in plan.buffers]
    return replace(plan, buffers=tuple(moved))


def test_the_checkers_notice_an_overlap():
    builder = Builder("two")
    x = builder.input("x", TensorType((4, 4)))
    w = builder.param("w", TensorType((4, 4)))
    a = builder.emit(MatMul(), x, w, name="a")
    b = builder.emit(MatMul(), a, w, name="b")
    program = program_of(bind(builder.finish([builder.emit(Sigmoid(), b, name="c"), a], {})))
    plan = broken(program, "a", "b")
    with pytest.raises(AssertionError, match=r"b.* destroys a|may not write over a"):
        assert_plan_is_sound(plan)
    bad = Executable(plan, {name: bound.data for name, bound in program.parameters.items()})
    with pytest.raises(AssertionError):
        assert_runs_undisturbed(bad, values_of(program))
