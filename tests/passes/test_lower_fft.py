"""Convolution by Fourier transforms: the graphs it makes, its planes, what it costs, how it rounds.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import assert_close, assert_rewrites, graph_of, joint, random_values, results

import convir
from convir.ir import Graph, UnsupportedError
from convir.ir.ops import Conv2dGradInput, Conv2dGradWeight, DftOp, Idft2d, extent
from convir.passes.assign_layout import AssignLayout
from convir.passes.cost import work_of
from convir.passes.eliminate import EliminateCommonSubexpressions
from convir.passes.lower_conv import LowerConv
from convir.runtime import NUMPY
from convir.runtime.calls import Product

FFT = LowerConv("fft")


def macs(graph: Graph) -> int:
    return sum(work_of(node).macs for node in graph.nodes)


def ops_of(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if not node.op.view and node.op.name != "transpose"]


def test_forward():
    case = ConvCase(channels=4, groups=2, filters=2, padding=(1, 0), dilation=(2, 1), stride=(1, 2), activation="relu")
    assert_rewrites(
        FFT,
        case.graph("float32"),
        """
        graph conv(x: f32[2,4,5,6], w: f32[2,2,3,2], b: f32[2]) -> f32[2,2,3,3]:
          y.transpose = transpose(w, permutation=(2, 3, 0, 1)) : f32[3,2,2,2]
          y.reshape = reshape(y.transpose, shape=(1, 3, 2, 4)) : f32[1,3,2,4]
          y.dft2d = dft2d(y.reshape, size=(6, 6), step=(-2, -1)) : f32[4,6,1,4,2]
          y.reshape_1 = reshape(y.dft2d, shape=(48, 1, 2, 2)) : f32[48,1,2,2]
          y.transpose_1 = transpose(x, permutation=(1, 2, 3, 0)) : f32[4,5,6,2]
          y.dft2d_1 = dft2d(y.transpose_1, size=(6, 6), start=(1, 0)) : f32[4,6,4,2,2]
          y.reshape_2 = reshape(y.dft2d_1, shape=(48, 2, 2, 2)) : f32[48,2,2,2]
          y.complex_matmul = complex_matmul(y.reshape_1, y.reshape_2) : f32[48,1,2,2]
          y.reshape_3 = reshape(y.complex_matmul, shape=(4, 6, 2, 2, 2)) : f32[4,6,2,2,2]
          y = idft2d(y.reshape_3, b, size=(6, 6), step=(1, 2), samples=(3, 3), activation=relu) : f32[2,3,3,2]
          y.transpose_2 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,2,3,3]
          return y.transpose_2
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_input():
    op = Conv2dGradInput(padding=(1, 2), stride=(2, 1), input_size=(4, 3))
    assert_rewrites(
        FFT,
        graph_of(op, (2, 3, 2, 5), (3, 2, 3, 3)),
        """
        graph one(grad: f32[2,3,2,5], weight: f32[3,2,3,3]) -> f32[2,2,4,3]:
          y.transpose = transpose(weight, permutation=(2, 3, 0, 1)) : f32[3,3,3,2]
          y.reshape = reshape(y.transpose, shape=(1, 3, 3, 6)) : f32[1,3,3,6]
          y.dft2d = dft2d(y.reshape, size=(5, 5), step=(-1, -1)) : f32[3,5,1,6,2]
          y.reshape_1 = reshape(y.dft2d, shape=(15, 3, 2, 2)) : f32[15,3,2,2]
          y.transpose_1 = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,2,5,2]
          y.dft2d_1 = dft2d(y.transpose_1, size=(5, 5), step=(-2, -1)) : f32[3,5,3,2,2]
          y.reshape_2 = reshape(y.dft2d_1, shape=(15, 3, 2, 2)) : f32[15,3,2,2]
          y.complex_matmul = complex_matmul(y.reshape_1, y.reshape_2, transpose_a=True) : f32[15,2,2,2]
          y.reshape_3 = reshape(y.complex_matmul, shape=(3, 5, 2, 2, 2)) : f32[3,5,2,2,2]
          y.idft2d = idft2d(y.reshape_3, size=(5, 5), start=(-1, -2), step=(-1, -1), samples=(4, 3)) : f32[2,4,3,2]
          y.transpose_2 = transpose(y.idft2d, permutation=(3, 0, 1, 2)) : f32[2,2,4,3]
          return y.transpose_2
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight():
    lowered = FFT(graph_of(Conv2dGradWeight(padding=(1, 1), kernel_size=(3, 2)), (2, 6, 4, 5), (2, 4, 4, 4)))
    assert ops_of(lowered) == ["dft2d", "dft2d", "complex_matmul", "idft2d"]
    assert lowered.node("y.idft2d").op == Idft2d((5, 5), samples=(3, 2))


@pytest.mark.parametrize("case", ["plain", "stride, padding and dilation", "groups"])
def test_a_training_step_makes_three_spectra(case):
    """Those of the weight and the image serve both ways, that of the cotangent both gradients."""
    settled = EliminateCommonSubexpressions()(AssignLayout()(FFT(joint(CONV_CASES[case].graph("float32")))))
    names = ops_of(settled)
    assert [names.count(name) for name in ("dft2d", "complex_matmul", "idft2d")] == [3, 3, 3]


@given(case=conv_cases())
def test_planes_are_as_large_as_they_must_be(case):
    """Modulo H + P no position that a window reads falls on a pixel, unless it is that pixel; modulo less some may.

    Sizes as small as these are taken as they are.
    """
    lowered = FFT(case.graph("float32"))
    (size,) = {node.op.size for node in lowered.nodes if isinstance(node.op, DftOp)}
    (y,) = case.graph("float32").outputs
    for axis in (0, 1):
        pixels = range(case.padding[axis], case.padding[axis] + case.size[axis])
        windows = (y.type.shape[2 + axis] - 1) * case.stride[axis]
        read = range(windows + extent(case.kernel[axis], case.dilation[axis]))
        assert size[axis] == case.size[axis] + case.padding[axis]
        assert not collisions(read, pixels, size[axis])
        if case.padding[axis] and len(read) == case.size[axis] + 2 * case.padding[axis]:
            assert collisions(read, pixels, size[axis] - 1)


def collisions(read: range, pixels: range, size: int) -> bool:
    return any(position != pixel and (position - pixel) % size == 0 for position in read for pixel in pixels)


LARGE = {
    "31x31": ConvCase(1, 2, (32, 35), 3, (31, 31), padding=(15, 15), activation="relu"),
    "planes of 120 x 66 in two steps": ConvCase(2, 2, (113, 61), 4, (9, 11), padding=(4, 5), groups=2),
    "stride and dilation in two steps": ConvCase(1, 2, (115, 64), 3, (5, 3), (2, 3), (2, 1), (3, 2)),
}

on_large_cases = pytest.mark.parametrize("case", LARGE.values(), ids=LARGE.keys())


@on_large_cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_kernels_and_planes(case, dtype):
    """Forward and both gradients against im2col."""
    graph = joint(case.graph(dtype))
    values = random_values(graph)
    expected = results(LowerConv("im2col")(graph), values)
    assert_close(results(FFT(graph), values), expected, {"float32": 1e-5, "float64": 1e-10}[dtype])


@on_large_cases
def test_large_kernels_and_planes_against_pytorch(case):
    torch = pytest.importorskip("torch")
    graph = case.graph("float64")
    values = random_values(graph)
    tensors = [torch.tensor(values[name]) for name in ("x", "w", "b")]
    y = torch.nn.functional.conv2d(*tensors, case.stride, case.padding, case.dilation, case.groups)
    expected = (torch.relu(y) if case.activation else y).numpy()
    assert_close(results(FFT(graph), values), [expected], 1e-10)


@on_large_cases
def test_what_is_multiplied_is_what_is_counted(case):
    for node in FFT(joint(case.graph("float32"))).nodes:
        products = [call for call in NUMPY.calls(node) if isinstance(call, Product)]
        assert sum(call.flops for call in products) == work_of(node).flops, node.name


def test_what_is_multiplied_does_not_depend_on_the_kernel():
    """Products: 4 MACs a frequency; and the transforms of 2 and 3 planes a sample, and of 6 kernels."""
    size, frequencies = 16, 9
    for kernel in (3, 5, 9):
        case = ConvCase(4, 2, (size - kernel // 2,) * 2, 3, (kernel, kernel), padding=(kernel // 2,) * 2, bias=False)
        plane = sum(transform(size, frequencies, side) * count for side, count in
                    ((case.size[0], 4 * 2), (case.size[0], 4 * 3), (kernel, 6)))  # fmt: skip
        assert macs(FFT(case.graph("float32"))) == 4 * frequencies * size * 2 * 3 * 4 + plane


def transform(size: int, frequencies: int, side: int) -> int:
    """MACs for a square of samples: every frequency of the rows of every column, then all columns of these."""
    return 2 * frequencies * side * side + 4 * size * side * frequencies


def test_large_kernels_multiply_less_than_im2col():
    case = ConvCase(8, 32, (64, 64), 32, (31, 31), padding=(15, 15), bias=False)
    for wanted in (None, "x", "w"):
        graph = case.graph("float32") if wanted is None else joint(case.graph("float32"), wanted)
        assert macs(graph) / macs(FFT(graph)) > 20


@pytest.mark.parametrize(
    "case",
    [
        ConvCase(1, 16, (12, 12), 4, (3, 3), bias=False),
        ConvCase(2, 3, (40, 30), 2, (11, 9), padding=(5, 4), bias=False),
    ],
)
def test_rounding_stays_within_its_bound(case):
    """|y - y64| <= 2 m eps sum over c of |w_c|_1 |x_c|_1, with m the terms of all the sums that follow each other.

    A frequency of a plane is at most the sum of its magnitudes, and the mean over frequencies, which the inverse is, at
    most the largest product. Every sum of t terms rounds by at most t*u relative to its magnitudes (Higham, *Accuracy
    and Stability of Numerical Algorithms*, 2nd edition, section 3.1), here 1 more for its rounded factors; the real and
    imaginary part of a product each, so 2 u = eps, and 2 for their modulus.
    """
    graphs = {dtype: FFT(case.graph(dtype)) for dtype in ("float32", "float64")}
    values = random_values(graphs["float32"])
    exact = results(case.graph("float64"), {name: array.astype("float64") for name, array in values.items()})[0]
    found = results(graphs["float32"], values)[0]
    images = np.abs(values["x"]).sum(axis=(2, 3))
    weights = np.abs(values["w"]).sum(axis=(2, 3))
    (height, width), (kh, kw) = case.size, case.kernel
    (nh, nw) = graphs["float32"].node("y").op.size
    terms = height + 2 * width + kh + 2 * kw + 2 * case.channels + 2 * nw + nh + 2 + 7
    bound = 2 * terms * np.finfo("float32").eps * (images @ weights.T)[:, :, None, None]
    error = np.abs(found - exact)
    assert np.all(error <= bound)
    # The bound is for the worst case; rounding is random.
    assert 0 < error.max() < 2e-6 * np.abs(exact).max()


def test_running_allocates_no_arrays():
    """The image's spectrum alone takes 600 kB; the buffers of NumPy's iterators do not grow with it."""
    compiled = convir.compile(ConvCase(8, 8, (32, 32), 8, (7, 7), padding=(3, 3)).graph("float32"), conv="fft")
    inputs = [np.ones(value.type.shape, "f") for value in compiled.graph.inputs[:3]]
    dy = np.ones((8, 8, 32, 32), "f")
    compiled(*inputs)
    compiled.backward(dy)
    tracemalloc.start()
    compiled.run_forward(*inputs)
    compiled.run_backward(dy)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 4000
    assert peak < 150_000


def test_frozen_weights_are_transformed_beforehand():
    model = convir.nn.Conv2d(2, 3, 5, padding=2)
    compiled = convir.compile(model, (2, 2, 9, 8), conv="fft", inference=True)
    assert ops_of(compiled.graph).count("dft2d") == 1
    x = np.random.default_rng(0).standard_normal((2, 2, 9, 8), "float32")
    assert_close([compiled(x)], [convir.compile(model, (2, 2, 9, 8), conv="im2col")(x)], 1e-5)


def test_not_a_number_reaches_its_sample_only():
    case = ConvCase(batch=3)
    values = random_values(case.graph("float32"))
    values["x"][1, 0, 2, 2] = np.nan
    (y,) = results(FFT(case.graph("float32")), values)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


def test_a_lowered_graph_is_not_differentiated():
    with pytest.raises(UnsupportedError, match="differentiate the model before convolutions are lowered"):
        joint(FFT(ConvCase().graph("float32")))
