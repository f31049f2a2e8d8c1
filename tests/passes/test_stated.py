"""What strategies state before anything runs, against what their graphs, plans and compiled programs count."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conv_cases import ConvCase, conv_cases
from support.conv_layers import EVERY_STRATEGY, GRADIENTS, cases_for, layer_of, layers

from convir import UnsupportedError
from convir.compiler import build, pipeline
from convir.ir import Graph, TensorType
from convir.ir.ops import Conv2d
from convir.passes.cost import Cost, Work, work_of
from convir.passes.differentiate import Differentiate
from convir.passes.fuse_regions import FuseRegions
from convir.passes.lower_conv import ConvLayer, LowerConv, Strategy, im2col_tiled, stated, strategy
from convir.passes.lower_conv.im2col import patch_bytes
from convir.passes.lower_conv.stated import activation_gradient, executed, total_cost
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY, kernels_for

by_strategy = pytest.mark.parametrize("strategy", EVERY_STRATEGY.values(), ids=EVERY_STRATEGY)


def joint(layer: ConvLayer) -> Graph:
    return Differentiate(layer.gradients)(layer.alone()) if layer.gradients else layer.alone()


def lowered(strategy: Strategy, layer: ConvLayer) -> Graph:
    """By the pass, and nothing else; with what follows from a frozen weight alone."""
    return LowerConv({"result": strategy})(joint(layer))


def formula(strategy: Strategy, layer: ConvLayer) -> Cost:
    """Of all parts, each by itself."""
    return sum(strategy.operations(layer).computed(layer).values(), activation_gradient(layer))


def counted(strategy: Strategy, layer: ConvLayer) -> Cost:
    graph = lowered(strategy, layer)
    live = graph.depends_on(value.name for value in (*graph.inputs, *graph.params) if value.name != "weight")
    nodes = [node for node in graph.nodes if node.name in live or not layer.frozen]
    return Work.total(map(work_of, nodes)).cost


@by_strategy
def test_formulas_are_what_is_counted_on_the_lowered_graph(strategy):
    for case in cases_for(strategy):
        for gradients in GRADIENTS:
            for frozen in (False, True):
                layer = layer_of(case, gradients, frozen)
                assert formula(strategy, layer) == counted(strategy, layer), layer


@by_strategy
@given(data=st.data())
@settings(max_examples=40)
def test_formulas_of_any_layer(strategy, data):
    layer = data.draw(layers(strategy))
    assert formula(strategy, layer) == counted(strategy, layer)


@given(case=conv_cases(), columns=st.sampled_from([2, 3, 5, 8, 13, 40, 200]), rest=st.integers(0, 7))
@settings(max_examples=100)
def test_formulas_follow_the_budget(case, columns, rest):
    layer = layer_of(case, ("image", "weight"))
    tiled = im2col_tiled(columns * layer.taps * 4 + rest)
    assert formula(tiled, layer) == counted(tiled, layer)


@pytest.mark.parametrize("block_bytes", [1, 300, 1000])
def test_formulas_follow_the_blocks_of_rows(monkeypatch, block_bytes):
    """Of small images, which otherwise are one block."""
    monkeypatch.setattr("convir.passes.lower_conv.shift_gemm.BLOCK_BYTES", block_bytes)
    shift = strategy("shift_gemm")
    for case in cases_for(shift):
        layer = layer_of(case, ("image", "weight"))
        assert formula(shift, layer) == counted(shift, layer), layer


@pytest.mark.slow
@by_strategy
def test_what_runs_has_the_operations_that_the_formulas_give(strategy):
    """Forward and backward laid out; what both need is computed twice, and what both gradients need once."""
    for case in cases_for(strategy):
        for layer in (layer_of(case, frozen=True), *(layer_of(case, gradients) for gradients in GRADIENTS)):
            work = Work.total(work_of(node) for graph in executed(strategy, layer) for node in graph.nodes)
            assert work.cost == total_cost(strategy, layer), layer


class Random:
    requires_grad = True

    def __init__(self, type: TensorType) -> None:
        self.data = np.random.default_rng(type.rank).standard_normal(type.shape).astype(type.dtype)


def compiled(strategy: Strategy, layer: ConvLayer, backend: str = "numpy"):
    """The program that the compiler makes of the layer alone."""
    biases = {"bias": Random(layer.weight.with_shape(layer.weight.shape[:1]))} if layer.biased else {}
    graph = layer.alone({"weight": Random(layer.weight), **biases})
    options = {"inference": True} if layer.frozen else {"wrt": layer.gradients}
    return build(graph, pipeline(conv={"result": strategy}, backend=backend, **options), kernels_for(backend))


@pytest.mark.slow
@by_strategy
def test_bytes_are_those_of_the_compiled_program(strategy):
    for case in list(cases_for(strategy))[::3]:
        for layer in (layer_of(case, frozen=True), *(layer_of(case, gradients) for gradients in GRADIENTS)):
            program, said = compiled(strategy, layer), stated(strategy, layer, NUMPY)
            assert said.peak_bytes == program.memory.peak_bytes, layer
            assert said.bytes_moved == sum(work_of(n).bytes_moved for g in program.graphs for n in g.nodes), layer


@pytest.mark.parametrize("name", ["direct", "winograd_4x4", "im2col"])
def test_bytes_of_another_backend(name):
    """Its regions move less, and its kernels need other arrays."""
    pytest.importorskip("numba")
    layer = layer_of(ConvCase(8, 8, (16, 16), 8, (3, 3), padding=(1, 1), activation="relu"), ("image", "weight"))
    program = compiled(strategy(name), layer, "numba")
    said = stated(strategy(name), layer, kernels_for("numba"), after=[FuseRegions()])
    assert said.peak_bytes == program.memory.peak_bytes
    assert said.bytes_moved == sum(work_of(node).bytes_moved for graph in program.graphs for node in graph.nodes)


def test_a_statement_by_hand():
    """One 1x1 filter over two channels of 3 x 5: 30 products; 30 pixels, 2 weights and 15 results go through memory."""
    layer = ConvLayer(Conv2d(), TensorType((1, 2, 3, 5)), TensorType((1, 2, 1, 1)))
    said = stated(strategy("pointwise"), layer, NUMPY)
    assert (said.strategy, said.layer, said.scratch_bytes) == ("pointwise", layer, 0)
    assert said.cost == Cost(30)
    assert (said.flops, said.multiplications, said.bytes_moved) == (60, 30, 4 * (30 + 2 + 15))
    assert said.intensity == 60 / (4 * 47)
    assert said.peak_bytes == 128 + 64
    assert said.largest_error == said.error_bound.result == 2 * 2**-24 / (1 - 2 * 2**-24)


def test_parts_that_are_computed_add_up():
    layer = layer_of(ConvCase(activation="sigmoid"), ("weight",))
    said = stated(strategy("im2col"), layer)
    result = layer.result.size
    assert said.operations.result == Cost(result * 12, 5 * result)
    assert said.operations.computed(layer) == {"result": said.operations.result, "weight": Cost(result * 12)}
    assert said.cost == Cost(2 * result * 12, 5 * result + 3 * result)
    assert said.largest_error == max(said.error_bound.result, said.error_bound.weight)


def test_a_strategy_states_nothing_of_what_it_refuses():
    layer = layer_of(ConvCase())
    with pytest.raises(UnsupportedError, match=r"pointwise cannot compute 3 filters 3x2 .* it needs a 1x1 kernel"):
        stated(strategy("pointwise"), layer)


def test_a_strategy_cannot_be_made_without_figures():
    with pytest.raises(TypeError, match=r"operations.*error_bound"):
        Strategy("silent", "", *(strategy("naive").conv2d,) * 3)


# What strategies are known for.


@pytest.mark.parametrize(("name", "ratio"), [("winograd_2x2", 2.25), ("winograd_4x4", 4.0)])
@pytest.mark.parametrize("gradients", GRADIENTS)
def test_winograd_multiplies_less_by_its_ratio_where_tiles_fit(name, ratio, gradients):
    layer = layer_of(ConvCase(2, 6, (8, 12), 5, (3, 3), padding=(1, 1)), gradients)
    nest = stated(strategy("naive"), layer)
    assert nest.multiplications == layer.macs * (1 + len(gradients))
    assert nest.multiplications / stated(strategy(name), layer).multiplications == ratio


@pytest.mark.parametrize(("kernel", "times"), [(3, 9), (5, 25), (7, 49)])
@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=20)
def test_the_patch_matrix_is_9_times_the_image_for_3x3_and_same_padding(kernel, times, shape):
    batch, channels, *size = shape
    case = ConvCase(batch, channels, tuple(size), 2, (kernel, kernel), padding=(kernel // 2, kernel // 2))
    layer = layer_of(case)
    plan = plan_memory(executed(strategy("im2col"), layer), NUMPY, {"image", "result"})
    assert patch_bytes(layer) == plan.scratch_bytes("im2col") == times * layer.image.nbytes
    assert stated(strategy("im2col"), layer, NUMPY).scratch_bytes >= patch_bytes(layer)


@given(case=conv_cases())
def test_patch_bytes_are_those_of_the_plan(case):
    layer = layer_of(case, dtype="float64")
    plan = plan_memory([lowered(strategy("im2col"), layer)], NUMPY, {"image", "result"})
    assert plan.scratch_bytes("im2col") == patch_bytes(layer)


@given(
    case=conv_cases(), columns=st.sampled_from([2, 3, 5, 8, 13, 40, 200]), gradients=st.sampled_from(GRADIENTS),
    rest=st.integers(0, 7),
)  # fmt: skip
@settings(max_examples=100)
def test_tiled_patches_stay_within_their_budget(case, columns, gradients, rest):
    """Whatever the layer; the image with its margins, which has nothing to do with patches, comes on top."""
    layer = layer_of(replace(case, activation=None), gradients)
    budget = columns * layer.taps * 4 + rest
    margins = prod(n + 2 * p for n, p in zip(case.size, case.padding, strict=True)) if any(case.padding) else 0
    said = stated(im2col_tiled(budget), layer, NUMPY)
    assert said.scratch_bytes <= budget + case.batch * case.channels * margins * 4


@pytest.mark.parametrize("gradients", GRADIENTS)
@pytest.mark.parametrize("batch", [1, 4])
def test_shift_gemm_needs_no_more_for_a_larger_kernel(batch, gradients):
    """Of the same image and result: margins, and the ends of rows; where the weight is not frozen, its turned copy."""
    said = {}
    for kernel in (3, 7):
        case = ConvCase(batch, 4, (64, 64), 5, (kernel, kernel), padding=(kernel // 2, kernel // 2))
        said[kernel] = stated(strategy("shift_gemm"), layer_of(case, gradients, frozen=True), NUMPY)
    padded = {kernel: batch * 4 * (64 + kernel - 1) ** 2 * 4 for kernel in said}
    ends = batch * 64 * 4 * 2 * 5 * 4  # 4 columns more of each row, of two blocks of filters
    assert said[7].scratch_bytes - said[3].scratch_bytes <= padded[7] - padded[3] + ends
    patches = {kernel: patch_bytes(each.layer) for kernel, each in said.items()}
    assert patches[7] - patches[3] == 40 * batch * 4 * 64 * 64 * 4 > 10 * (said[7].scratch_bytes)
    live = stated(strategy("shift_gemm"), replace(said[7].layer, frozen=False), NUMPY)
    assert 0 <= live.scratch_bytes - said[7].scratch_bytes <= said[7].layer.weight.nbytes


@pytest.mark.parametrize("gradients", GRADIENTS)
def test_fourier_transforms_multiply_as_often_whatever_the_kernel(gradients):
    """Data with data; the transforms multiply by constants."""
    said = {}
    for kernel in (1, 5, 9):
        layer = layer_of(ConvCase(2, 3, (18 - kernel // 2,) * 2, 4, (kernel, kernel), padding=(kernel // 2,) * 2))
        said[kernel] = stated(strategy("fft"), replace(layer, gradients=gradients))
    (multiplications,) = {each.multiplications for each in said.values()}
    assert multiplications == 4 * 18 * 10 * 3 * 4 * 2 * (1 + len(gradients))
    assert all(each.cost.macs > each.multiplications for each in said.values())


def test_both_gradients_share_the_spectrum_of_the_cotangent():
    fft = strategy("fft")
    alone = {gradients: stated(fft, layer_of(ConvCase(), gradients)).cost for gradients in GRADIENTS}
    forward, image, weight, both = alone.values()
    assert both == image + weight - forward - fft.shared(layer_of(ConvCase()))
    assert fft.shared(layer_of(ConvCase())).macs > 0


def test_gradients_of_direct_multiply_zeros_with_a_stride():
    layer = layer_of(ConvCase(size=(9, 9), kernel=(3, 3), stride=(2, 2)), ("image",))
    executed = stated(strategy("direct"), layer).operations.image
    assert executed == Cost(2 * 2 * 81 * 3 * 9)
    assert executed.macs > 5 * layer.macs
