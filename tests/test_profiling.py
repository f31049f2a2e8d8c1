"""The profiler on a clock that only the steps move: times, shares and rates worked out by hand."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

import convir
from convir import nn, zoo
from convir.profiling import Part, Profile
from convir.runtime import kernel_set


class Net(nn.Module):
    """A convolution and something that is not one, so that both kinds of rate occur; no op stands twice."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).exp()


X = np.zeros((2, 3, 5, 6), "f")
IMAGE, WEIGHT, BIAS, RESULT = 2 * 3 * 5 * 6, 4 * 3 * 3 * 3, 4, 2 * 4 * 3 * 4
FLOPS = 2 * RESULT * 3 * 3 * 3

#: The steps in running order: name, op, seconds, FLOPs (of convolutions only), float32 numbers read and written.
FORWARD = [
    ("conv", "conv2d", 0.5, FLOPS, IMAGE + WEIGHT + BIAS + RESULT),
    ("exp", "exp", 0.25, None, 2 * RESULT),
]
BACKWARD = [
    ("conv.grad", "mul", 0.125, None, 3 * RESULT),
    ("conv.bias.grad", "sum", 0.125, None, RESULT + BIAS),
    ("x.grad", "conv2d_grad_input", 2.0, FLOPS, RESULT + WEIGHT + IMAGE),
    ("conv.weight.grad", "conv2d_grad_weight", 1.0, FLOPS, RESULT + IMAGE + WEIGHT),
]
SECONDS = {op: seconds for _, op, seconds, *_ in FORWARD + BACKWARD}


@pytest.fixture
def profiled(monkeypatch):
    """Profiles the net with kernels that do nothing but move the clock; a factor a run, the first to warm up."""
    now, runs, factors = [1000.0], dict.fromkeys(SECONDS, 0), [1.0, 1.0]
    real = kernel_set.kernel_for

    def fake(op):
        def step() -> None:
            now[0] += SECONDS[op.name] * factors[runs[op.name]]
            runs[op.name] += 1

        return SimpleNamespace(scratch=real(op).scratch, bind=lambda *arrays: step)

    def run(*given: float, backward: bool = True) -> Profile:
        factors[:] = given or factors
        monkeypatch.setattr(time, "perf_counter", lambda: now[0])
        return compiled.profile(X, backward=backward, repeats=len(factors) - 1)

    def slow_load(*arguments) -> None:
        now[0] += 100

    monkeypatch.setattr(kernel_set, "kernel_for", fake)
    compiled = convir.compile(Net(), X.shape, conv="naive")
    monkeypatch.setattr(compiled.executable, "load", slow_load)
    return run


class TestOnAClock:
    def test_rates_are_work_over_time(self, profiled):
        for row, (*_, seconds, flops, moved) in zip(profiled().rows, FORWARD + BACKWARD, strict=True):
            assert row.seconds == seconds
            assert row.gflops == (None if flops is None else pytest.approx(flops / seconds / 1e9, rel=1e-12))
            assert row.gbytes == pytest.approx(4 * moved / seconds / 1e9, rel=1e-12)

    def test_shares_are_of_the_sum_of_the_steps(self, profiled):
        shares = [row.share for row in profiled().rows]
        assert shares == [seconds / 4 for seconds in (0.5, 0.25, 0.125, 0.125, 2.0, 1.0)]
        assert sum(shares) == 1

    def test_loading_is_not_part_of_a_run(self, profiled):
        made = profiled()
        assert (made.seconds, made.covered) == (4.0, 1.0)

    def test_rows_come_in_running_order_and_say_their_half(self, profiled):
        rows = profiled().rows
        assert [(row.name, row.op) for row in rows] == [(name, op) for name, op, *_ in FORWARD + BACKWARD]
        assert [row.half for row in rows] == ["forward"] * 2 + ["backward"] * 4
        assert (rows[0].origin, rows[4].origin) == ("conv", "conv")

    def test_forward_alone(self, profiled):
        rows = profiled(backward=False).rows
        assert [(row.name, row.half, row.share) for row in rows] == [
            ("conv", "forward", 2 / 3),
            ("exp", "forward", 1 / 3),
        ]

    def test_times_are_medians_of_all_runs_but_the_first(self, profiled):
        made = profiled(1024, 8, 2, 0.25)
        assert [row.seconds for row in made.rows] == [2 * seconds for seconds in SECONDS.values()]
        assert (made.seconds, made.repeats) == (8.0, 3)

    def test_the_table_begins_with_the_slowest(self, profiled):
        lines = profiled().table().text(120).splitlines()
        assert lines[0] == "Profile of net: 4.00 s a run, median of 1"
        names = [line.split()[0] for line in lines[3:9]]
        assert names == ["x.grad", "conv.weight.grad", "conv", "exp", "conv.grad", "conv.bias.grad"]

    def test_json_has_the_same_figures(self, profiled):
        made = profiled()
        data = made.to_json()
        assert (data["schema"], data["graph"], data["seconds"]) == ("convir.profile/1", "net", 4.0)
        assert [(row["name"], row["gflops"], row["gbytes"]) for row in data["rows"]] == [
            (row.name, row.gflops, row.gbytes) for row in made.rows
        ]


class TestOnAModel:
    @pytest.mark.parametrize("backward", [False, True])
    def test_there_is_a_row_for_each_step(self, backward):
        compiled = convir.compile(zoo.digits_cnn(), (2, 1, 8, 8))
        x = np.ones((2, 1, 8, 8), "f")
        made = compiled.profile(x, backward=backward, repeats=3)
        halves = zip(("forward", "backward")[: 1 + backward], compiled.program.graphs, strict=False)
        steps = [(half, n.name) for half, graph in halves for n in graph.nodes if not n.op.view]
        assert [(row.half, row.name) for row in made.rows] == steps
        assert sum(row.share for row in made.rows) == pytest.approx(1)
        assert all(row.seconds >= 0 for row in made.rows)
        assert {row.op for row in made.rows if row.gflops is not None} == {"matmul"}
        np.testing.assert_array_equal(compiled(x), compiled(x))

    def test_overflow_gives_no_warning(self):
        compiled = convir.compile(lambda x: (x * 2).exp(), (3,))
        x = np.array([1000, -1000, np.inf], "f")
        made = compiled.profile(x, backward=True, repeats=2)
        assert {row.half for row in made.rows} == {"forward", "backward"}

    @pytest.mark.parametrize("backward", [False, True])
    def test_of_a_divided_batch_it_is_the_first_tile(self, backward):
        compiled = convir.compile(zoo.digits_cnn(), (7, 1, 8, 8), tile=3)
        made = compiled.profile(np.ones((7, 1, 8, 8), "f"), backward=backward, repeats=2)
        assert str(compiled.division) == "3 tiles of 3 and 1 samples on one thread"
        assert made.part == Part(3, 7)
        assert made.table().text(120).splitlines()[-1] == "Backend: numpy; one tile of 3 of 7 samples."
        assert made.to_json()["part"] == {"samples": 3, "batch": 7}
        # What is read and written is a tile's: the moved bytes over the time, in the rate.
        (conv,) = (row for row in made.rows if row.name == "conv1.matmul")
        (node,) = (node for node in compiled.graph.nodes if node.name == conv.name)
        assert node.outputs[0].type.shape[-1] % 3 == 0
        assert conv.gflops * conv.seconds * 1e9 == pytest.approx(2 * 9 * node.outputs[0].type.size)

    def test_of_a_batch_in_one_piece_it_is_all(self):
        compiled = convir.compile(zoo.mlp(), (4, 1, 8, 8))
        made = compiled.profile(np.ones((4, 1, 8, 8), "f"), repeats=1)
        assert made.part is None
        assert made.table().text(120).splitlines()[-1] == "Backend: numpy; the whole batch."
        assert (made.to_json()["part"], made.to_json()["backend"]) == (None, "numpy")

    def test_compiled_loops_have_a_row_each_and_rates(self):
        pytest.importorskip("numba")
        compiled = convir.compile(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), (8, 1, 8, 8), backend="numba", tile=4)
        made = compiled.profile(np.ones((8, 1, 8, 8), "f"), repeats=20)
        assert (made.backend, made.part) == ("numba", Part(4, 8))
        assert [row.name for row in made.rows] == [node.name for node in compiled.graph.nodes if not node.op.view]
        (conv,) = (row for row in made.rows if row.gflops is not None)
        assert conv.op == "conv2d_direct"
        assert conv.gflops * conv.seconds * 1e9 == pytest.approx(2 * 9 * 3 * 36 * 4)

    def test_a_backward_that_there_is_not(self):
        compiled = convir.compile(lambda x: x.exp(), (3,), inference=True)
        with pytest.raises(convir.ExecutionError, match="there is no backward"):
            compiled.profile(np.zeros(3, "f"), backward=True)

    def test_no_repeats(self):
        compiled = convir.compile(lambda x: x.exp(), (3,))
        with pytest.raises(convir.ConvirError, match="at least one repeat, got 0"):
            compiled.profile(np.zeros(3, "f"), repeats=0)
