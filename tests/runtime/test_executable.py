"""Bound steps in one arena: nothing is allocated while running."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.graphs import Bound, graph_of, random_values, results

import convir
from convir import TensorType, UnsupportedError, nn, zoo
from convir.ir import Builder, Op
from convir.ir.ops import Add, Constant, Flatten, Literal, Mul, Relu, Reshape, Transpose
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY, Executable


def executable(graph) -> Executable:
    return Executable(plan_memory([graph], NUMPY), {name: b.data for name, b in graph.bindings.items()})


def test_a_program_runs_in_its_arena():
    graph = graph_of(Add(), (2, 3), (3,))
    program = executable(graph)
    values = random_values(graph)
    for value in graph.inputs:
        program.load(value, values[value.name])
    program.run(0)
    (y,) = graph.outputs
    np.testing.assert_array_equal(program.read(y), values["a"] + values["b"])
    assert program.arena.spans(program.read(y))
    assert program.arena.nbytes == program.plan.arena_bytes


def test_views_are_the_same_bytes():
    builder = Builder("views")
    x = builder.input("x", TensorType((2, 3)))
    flat = builder.emit(Flatten(0), x, name="flat")
    back = builder.emit(Reshape((3, 2)), flat, name="back")
    graph = builder.finish([builder.emit(Transpose((1, 0)), back), x], {})
    program = executable(graph)
    assert np.shares_memory(program.arrays["x"], program.arrays["back"])
    program.load(x, np.arange(6, dtype="f").reshape(2, 3))
    program.run(0)
    np.testing.assert_array_equal(program.read(graph.outputs[0]), [[0, 2, 4], [1, 3, 5]])


def test_parameters_are_read_where_they_are():
    builder = Builder("live")
    x, w = builder.input("x", TensorType((2,))), builder.param("w", TensorType((1, 2)))
    view = builder.emit(Reshape((2,)), w)
    weight = Bound(np.ones((1, 2), "f"))
    graph = builder.finish([builder.emit(Mul(), x, view)], {"w": weight})
    program = executable(graph)
    program.load(x, np.array([2, 3], "f"))
    weight.data[...] = 10
    program.run(0)
    np.testing.assert_array_equal(program.read(graph.outputs[0]), [20, 30])
    assert not program.arena.spans(program.arrays["w"])


def test_constants_are_never_written():
    builder = Builder("constant")
    x = builder.input("x", TensorType((2,)))
    literal = Literal(np.array([1, 2], "f"))
    c = builder.emit(Constant(literal))
    y = builder.emit(Relu(), builder.emit(Reshape((2,)), c))
    program = executable(builder.finish([builder.emit(Add(), y, x)], {}))
    program.run(0)
    np.testing.assert_array_equal(literal.array, [1, 2])
    assert not program.arrays[c.name].flags.writeable


def test_overflow_gives_infinity_without_a_warning():
    graph = graph_of(Mul(), (2,), (2,))
    program = executable(graph)
    for value in graph.inputs:
        program.load(value, np.array([3e38, np.nan], "f"))
    with np.errstate(all="raise"):
        program.run(0)
        assert set(np.geterr().values()) == {"raise"}
    np.testing.assert_array_equal(program.read(graph.outputs[0]), np.array([np.inf, np.nan], "f"))


def test_an_op_without_kernel_is_refused_when_binding():
    class Strange(Op):
        operand_names = ("input",)

        def infer(self, *operands):
            return operands

    with pytest.raises(UnsupportedError, match="has no NumPy kernel"):
        executable(graph_of(Strange(), (2,)))


class Everything(nn.Module):
    """A loss over all layers there are."""

    def __init__(self):
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(8, 8, 3, stride=2, groups=4),
            nn.Tanh(),
            nn.AvgPool2d(2, 1, 1, count_include_pad=False),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x, target):
        return nn.functional.cross_entropy(self.head(self.features(x)), target)


def step_peaks(batch: int) -> dict[str, int]:
    """What running each step, forward and backward, takes from the allocator."""
    compiled = convir.compile(Everything(), (batch, 1, 28, 28), TensorType((batch,), "int64"))
    compiled(np.ones((batch, 1, 28, 28), "f"), np.zeros(batch, "int64"))
    compiled.backward()
    peaks = {}
    for half in compiled.executable.halves:
        for step in half:
            tracemalloc.start()
            with np.errstate(all="ignore"):
                step.run()
            peaks[step.node.name] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    return peaks


def test_no_step_allocates_arrays():
    """What is allocated is NumPy's own, of a fixed size: it does not grow with the batch."""
    small, large = step_peaks(64), step_peaks(192)
    assert small.keys() == large.keys()
    grown = {name: (small[name], large[name]) for name in small if large[name] > max(small[name], 68_000) + 1000}
    assert grown == {}


def test_a_training_step_allocates_no_arrays():
    compiled = convir.compile(zoo.lenet5(), (32, 1, 28, 28))
    x, dy = np.ones((32, 1, 28, 28), "f"), np.ones((32, 10), "f")
    compiled(x)
    compiled.backward(dy)
    tracemalloc.start()
    compiled.run_forward(x)
    compiled.run_backward(dy)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 4000
    assert peak < 150_000  # the buffers of NumPy's iterators; an activation of the first layer takes 600 kB


def test_steps_name_their_nodes_in_order():
    compiled = convir.compile(zoo.mlp(), (2, 1, 8, 8))
    program = compiled.executable
    names = [step.node.name for half in program.halves for step in half]
    planned = [node.name for graph in program.plan.graphs for node in graph.nodes]
    assert [name for name in planned if name in set(names)] == names


def test_running_twice_gives_the_same():
    graph = convir.trace(zoo.lenet5(), (2, 1, 28, 28))
    compiled = convir.compile(graph)
    values = random_values(graph)
    first = compiled(values["x"])
    for _ in range(2):
        np.testing.assert_array_equal(compiled(values["x"]), first)
    np.testing.assert_allclose(first, results(compiled.graph, values)[0], rtol=1e-4, atol=1e-5)
