"""What a model costs, against what compiling it allocates and against PyTorch's counters."""

from __future__ import annotations

import pytest
from support.graphs import graph_of, joint

import convir
from convir import TensorType, nn, zoo
from convir.ir import Builder, Graph
from convir.ir.ops import MatMul, MaxPool2d, Reshape

MODELS = [pytest.param(entry.factory, (3, *entry.input_shape[1:]), id=name) for name, entry in zoo.MODELS.items()]
LENET5 = (64, 1, 28, 28)


def arena(model, *specs, **options) -> int:
    """Bytes that compiling allocates for all that a call computes."""
    return convir.compile(model, *specs, **options).executable.arena.nbytes


def vgg(namespace, filters=(8, "M", 16, 16, "M"), size: int = 16):
    """A VGG-style stack; ``namespace`` is either library's ``nn``."""
    layers, channels = [], 3
    for item in filters:
        if item == "M":
            layers.append(namespace.MaxPool2d(2))
            size //= 2
        else:
            layers += [namespace.Conv2d(channels, item, 3, padding=1), namespace.ReLU()]
            channels = item
    head = [namespace.Linear(channels * size * size, 32), namespace.ReLU(), namespace.Linear(32, 10)]
    return namespace.Sequential(*layers, namespace.Flatten(), *head)


def integers() -> Graph:
    builder = Builder("integers")
    x = builder.input("x", TensorType((2, 3), "int64"))
    return builder.finish([builder.emit(Reshape((6,)), x)], {})


class TestPeak:
    @pytest.mark.parametrize(("factory", "shape"), MODELS)
    def test_is_what_compiling_without_a_backward_allocates(self, factory, shape):
        model = factory()
        assert convir.estimate(model, shape).peak_bytes == arena(model, shape, wrt=())

    @pytest.mark.parametrize(("factory", "shape"), MODELS)
    def test_of_training_is_what_compiling_with_a_backward_allocates(self, factory, shape):
        model = factory()
        assert convir.estimate(model, shape).training_peak_bytes == arena(model, shape)

    def test_is_never_less_than_what_inference_allocates(self):
        """Dropout is part of a model in training mode; ``inference=True`` leaves it out."""
        model = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5), nn.Linear(40, 3))
        in_training, in_eval = convir.estimate(model, (5, 6)), convir.estimate(model.eval(), (5, 6))
        assert in_training.peak_bytes == arena(model.train(), (5, 6), wrt=())
        assert in_training.training_peak_bytes == arena(model, (5, 6))
        assert in_eval.peak_bytes == arena(model, (5, 6), inference=True) < in_training.peak_bytes

    def test_follows_the_lowering(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 3))
        peaks = {}
        for conv in ("naive", "im2col"):
            report = convir.estimate(model, (2, 3, 9, 9), conv=conv)
            peaks[conv] = (report.peak_bytes, report.training_peak_bytes)
            assert peaks[conv][0] == arena(model, (2, 3, 9, 9), conv=conv, wrt=())
            assert peaks[conv][1] == arena(model, (2, 3, 9, 9), conv=conv)
        assert peaks["naive"][0] < peaks["im2col"][0]
        assert peaks["naive"][1] < peaks["im2col"][1]

    def test_of_a_graph_is_that_of_its_model(self):
        model = zoo.digits_cnn()
        graph = convir.trace(model, (2, 1, 8, 8))
        of_graph, of_model = convir.estimate(graph), convir.estimate(model, (2, 1, 8, 8))
        assert of_graph.peak_bytes == of_model.peak_bytes
        assert of_graph.training_peak_bytes == of_model.training_peak_bytes

    def test_is_given_for_what_no_machine_could_hold(self):
        report = convir.estimate(zoo.mlp(), (10**12, 1, 8, 8))
        assert report.training_peak_bytes > 4 * 64 * 10**12
        # One tile after the other, an answer needs no more than a tile's memory.
        assert report.peak_bytes < 2**24

    def test_of_training_is_unknown_where_nothing_is_differentiable(self):
        report = convir.estimate(integers())
        assert report.training_peak_bytes is None
        assert report.peak_bytes == arena(integers(), wrt=())

    def test_of_training_is_unknown_where_an_op_has_no_gradient(self):
        graph = joint(graph_of(MaxPool2d(kernel_size=(2, 2)), (1, 1, 4, 4)))
        report = convir.estimate(graph)
        assert report.training_peak_bytes is None
        assert report.peak_bytes == arena(graph, wrt=())


class TestEstimate:
    def test_what_is_lowered_is_the_program_without_a_backward(self):
        report = convir.estimate(zoo.lenet5(), (2, 1, 28, 28))
        compiled = convir.compile(zoo.lenet5(), (2, 1, 28, 28), wrt=())
        assert [name for name, _ in report.lowered_parts] == ["lenet5"]
        assert report.lowered == compiled.cost.lowered
        assert report.macs == 2 * 416_520
        plain = convir.estimate(zoo.lenet5(), (2, 1, 28, 28), conv="im2col")
        assert plain.lowered.macs == plain.macs == report.macs

    def test_a_graph_needs_no_arrays_for_its_parameters(self):
        builder = Builder("unbound")
        x, w = builder.input("x", TensorType((5, 4))), builder.param("w", TensorType((4, 3)))
        report = convir.estimate(builder.finish([builder.emit(MatMul(), x, w)], {}))
        assert (report.macs, report.parameters, report.peak_bytes) == (60, 12, 128 + 64)

    def test_a_graph_takes_no_shapes(self):
        with pytest.raises(convir.ConvirError, match="a traced graph has its input shapes"):
            convir.estimate(integers(), (2, 3))


class TestAgainstTorch:
    """Exactly PyTorch's FlopCounterMode, on the meta device, and exactly its parameters."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def flops(self, torch, backward: bool) -> int:
        counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
        with torch.device("meta"), counter:
            y = vgg(torch.nn)(torch.empty(2, 3, 16, 16, requires_grad=True))
            if backward:
                y.sum().backward()
        return counter.get_total_flops()

    def test_a_vgg_stack_forward(self, torch):
        report = convir.estimate(vgg(nn), (2, 3, 16, 16))
        with torch.device("meta"):
            parameters = sum(p.numel() for p in vgg(torch.nn).parameters())
        assert report.parameters == parameters
        assert report.flops == self.flops(torch, backward=False)
        assert report.uncounted == ()

    @pytest.mark.parametrize("conv", ["naive", "im2col"])
    def test_a_vgg_stack_with_its_backward_as_lowered(self, torch, conv):
        compiled = convir.compile(vgg(nn), (2, 3, 16, 16), conv=conv)
        assert compiled.cost.lowered.flops == self.flops(torch, backward=True)


class TestSummary:
    def test_totals(self):
        summary = convir.summary(zoo.lenet5(), LENET5)
        assert (summary.parameters, summary.macs, summary.flops) == (61_706, 64 * 416_520, 2 * 64 * 416_520)
        assert sum(row.parameters for row in summary.rows) == summary.parameters
        assert sum(row.macs for row in summary.rows) == summary.macs
        totals = summary.to_json()["totals"]
        assert (totals["parameters"], totals["parameter_bytes"], totals["macs"]) == (61_706, 4 * 61_706, 64 * 416_520)
        assert totals["input_bytes"] == 4 * 64 * 28 * 28
        assert any(line.split()[:2] == ["total", "61,706"] for line in str(summary).splitlines())

    def test_agrees_with_the_estimate_and_counts_a_parameter_once(self):
        layer = nn.Linear(4, 4)
        model = nn.Sequential(layer, nn.ReLU(), layer)
        summary, report = convir.summary(model, (3, 4)), convir.estimate(model, (3, 4))
        assert summary.parameters == report.parameters == 4 * 4 + 4
        assert summary.macs == report.macs == 2 * 3 * 4 * 4

    def test_depth_changes_the_rows_and_no_total(self):
        class Deep(nn.Module):
            def __init__(self):
                self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
                self.fc = nn.Linear(2 * 4 * 4, 3)

            def forward(self, x):
                return self.fc(self.features(x).flatten(1))

        full, folded = (convir.summary(Deep(), (1, 1, 6, 6), depth=depth) for depth in (None, 1))
        assert [row.path for row in full.rows] == ["features", "features.0", "features.1", "", "fc"]
        assert [row.path for row in folded.rows] == ["features", "", "fc"]
        assert (full.parameters, full.macs) == (folded.parameters, folded.macs) == (20 + 99, 2 * 16 * 9 + 32 * 3)

    def test_of_a_graph(self):
        graph = convir.trace(zoo.mlp(), (2, 1, 8, 8))
        assert str(convir.summary(graph)) == str(convir.summary(zoo.mlp(), (2, 1, 8, 8)))
