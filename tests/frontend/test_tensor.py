"""What operators and methods record, as text."""

import pickle

import numpy as np
import pytest

from convir.frontend import Tensor, trace
from convir.frontend.dims import Dim
from convir.ir import DTypeError, ExecutionError, ShapeError, TensorType, TraceError, UnsupportedError, verify


def body(function, *specs):
    """The nodes of the traced function, one a line, without signature and provenance."""
    graph = trace(function, *specs)
    verify(graph)
    return [line.split("   #")[0].strip() for line in str(graph).splitlines()[1:-1]]


def test_arithmetic_keeps_the_order_of_the_operands():
    assert body(lambda a, b: (a - b, b / a, a + b, a * b, -a), (2, 3), (2, 3)) == [
        "sub = sub(a, b) : f32[2,3]",
        "div = div(b, a) : f32[2,3]",
        "add = add(a, b) : f32[2,3]",
        "mul = mul(a, b) : f32[2,3]",
        "neg = neg(a) : f32[2,3]",
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: 2 - x, "sub = sub(constant, x) : f64[2,3]"),
        (lambda x: x - 2, "sub = sub(x, constant) : f64[2,3]"),
        (lambda x: 1.0 / x, "div = div(constant, x) : f64[2,3]"),
        (lambda x: x / 1.0, "div = div(x, constant) : f64[2,3]"),
        (lambda x: 1 + x, "add = add(constant, x) : f64[2,3]"),
        (lambda x: 3 * x, "mul = mul(constant, x) : f64[2,3]"),
        (lambda x: np.float32(3) * x, "mul = mul(constant, x) : f64[2,3]"),
        (lambda x: x * np.float64(3), "mul = mul(x, constant) : f64[2,3]"),
    ],
)
def test_a_number_takes_the_tensors_element_type(function, expected):
    constant, node = body(function, TensorType((2, 3), "float64"))
    assert constant.endswith(": f64[]")
    assert node == expected


def test_arrays_on_either_side_become_constants():
    array = np.arange(3, dtype="float32")
    assert body(lambda x: array - x, (2, 3))[1] == "sub = sub(constant, x) : f32[2,3]"
    assert body(lambda x: x - array, (2, 3))[1] == "sub = sub(x, constant) : f32[2,3]"
    assert body(lambda x: np.ones((4, 2), "float32") @ x, (2, 3))[1] == "matmul = matmul(constant, x) : f32[4,3]"
    (node, _) = trace(lambda x: x * array, (2, 3)).nodes
    np.testing.assert_array_equal(node.op.value.array, array)


def test_an_array_of_another_element_type_is_an_error_with_a_hint():
    with pytest.raises(DTypeError, match=r"^add \(test_tensor.py:\d+\): .*a is float32, b is float64; .*astype\(\)"):
        trace(lambda x: x + np.ones(3), (2, 3))


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], (1.0, 2.0, 3.0)])
def test_a_list_is_not_a_constant(values):
    with pytest.raises(TraceError, match=r'add \(.*takes tensors and NumPy arrays, got .*; .*dtype="float32"'):
        trace(lambda x: x + values, (2, 3))


def test_foreign_operands_are_pythons_to_refuse():
    with pytest.raises(TypeError, match="unsupported operand"):
        trace(lambda x: x + None, (2, 3))
    with pytest.raises(TypeError, match="unsupported operand"):
        trace(lambda x: 2 @ x, (2, 3))


def test_in_place_operators_rebind():
    def function(x):
        y = x
        y += 1
        y *= x
        return y, x

    graph = trace(function, (2, 3))
    assert [node.op.name for node in graph.nodes] == ["constant", "add", "mul"]
    assert graph.outputs[1] == graph.inputs[0]


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [((2, 3), (3, 4), (2, 4)), ((3,), (3, 4), (4,)), ((2, 3), (3,), (2,)), ((3,), (3,), ()), ((5, 2, 3), (3,), (5, 2)),
     ((3,), (5, 3, 4), (5, 4)), ((5, 1, 2, 3), (4, 3, 2), (5, 4, 2, 2))],
)  # fmt: skip
def test_matmul_treats_vectors_as_numpy_does(a, b, result):
    graph = trace(lambda a, b: a @ b, a, b)
    verify(graph)
    assert graph.outputs[0].type.shape == result == (np.ones(a) @ np.ones(b)).shape


def test_powers():
    assert body(lambda x: x**2, (2,)) == ["mul = mul(x, x) : f32[2]"]
    assert body(lambda x: x**0.5, (2,)) == ["sqrt = sqrt(x) : f32[2]"]
    with pytest.raises(UnsupportedError, match=r"x \*\* p .*only x \*\* 2 and x \*\* 0.5 are there, got 3"):
        trace(lambda x: x**3, (2,))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "exp", "log", "sqrt"])
def test_elementwise_methods(name):
    assert body(lambda x: getattr(x, name)(), (2, 3)) == [f"{name} = {name}(x) : f32[2,3]"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.sum(), "sum = sum(x, axes=(0, 1, 2)) : f32[]"),
        (lambda x: x.sum(()), "sum = sum(x, axes=(0, 1, 2)) : f32[]"),
        (lambda x: x.mean(-1), "mean = mean(x, axes=(2,)) : f32[2,3]"),
        (lambda x: x.mean((2, 0), keepdim=True), "mean = mean(x, axes=(0, 2), keepdims=True) : f32[1,3,1]"),
        (lambda x: x.max(1), "max = max(x, axes=(1,)) : f32[2,4]"),
        (lambda x: x.amax([0, -1]), "max = max(x, axes=(0, 2)) : f32[3]"),
    ],
)
def test_reductions(function, expected):
    assert body(function, (2, 3, 4)) == [expected]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(3), r"sum \(.*axis 3 is out of range for 3 dimensions"),
        (lambda x: x.mean((0, -3)), r"mean \(.*names an axis twice"),
        (lambda x: x.max(1.5), r"max \(.*dim is made of integers, got 1.5"),
        (lambda x: x.transpose(0, 5), r"transpose \(.*axis 5"),
        (lambda x: x.permute(0, 0, 1), r"transpose \(.*not a permutation"),
        (lambda x: x.reshape(5, -1), r"reshape \(.*cannot reshape f32\[2,3,4\]"),
        (lambda x: x.reshape(0, -1), r"reshape \(.*got 0 in \(0, -1\); .*x.shape\[0\]"),
        (
            lambda x: x.view(-1, -1),
            r"reshape \(.*: a shape holds positive integers and at most one -1, got 2 of them in",
        ),
        (lambda x: x.view(0, -1), r"reshape \(.*: a shape holds positive integers and at most one -1, got 0 in"),
        (lambda x: x.view(x.shape[0], 5), r"reshape \(.*cannot reshape f32\[2,3,4\] with 24 elements to \[2, 5\]"),
        (lambda x: x.reshape(2.0, 12), r"reshape \(.*integers, got 2.0"),
        (lambda x: x.T, r"transpose \(.*x.T is for 2 dimensions"),
        (lambda x: x.flatten(2, 1), r"flatten \(.*start_dim 2 comes after end_dim 1"),
        (lambda x: x.size(3), r"size \(.*axis 3"),
        (lambda x: x.unsqueeze(5), r"unsqueeze \(.*axis 5"),
    ],
)
def test_wrong_axes_and_shapes_name_the_line(function, message):
    with pytest.raises(ShapeError, match=message) as caught:
        trace(function, (2, 3, 4))
    assert "test_tensor.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.reshape(x.shape[0], -1), "reshape = reshape(x, shape=(0, -1)) : f32[2,12]"),
        (lambda x: x.view(x.size(0), -1), "reshape = reshape(x, shape=(0, -1)) : f32[2,12]"),
        (lambda x: x.reshape((x.shape[0], 12)), "reshape = reshape(x, shape=(0, 12)) : f32[2,12]"),
        (lambda x: x.reshape(*x.shape[:2], 2, 2), "reshape = reshape(x, shape=(0, 0, 2, 2)) : f32[2,3,2,2]"),
        (lambda x: x.reshape(x.shape[0] * 3, -1), "reshape = reshape(x, shape=(6, -1)) : f32[6,4]"),
        (lambda x: x.reshape(12, x.shape[0]), "reshape = reshape(x, shape=(12, -1)) : f32[12,2]"),
        (lambda x: x.reshape(-1), "reshape = reshape(x, shape=(-1,)) : f32[24]"),
        (lambda x: x.unsqueeze(0), "reshape = reshape(x, shape=(1, -1, 3, 4)) : f32[1,2,3,4]"),
        (lambda x: x.unsqueeze(-1), "reshape = reshape(x, shape=(0, 0, 0, 1)) : f32[2,3,4,1]"),
        (lambda x: x.flatten(), "flatten = flatten(x, start_dim=0, end_dim=-1) : f32[24]"),
        (lambda x: x.flatten(1), "flatten = flatten(x, start_dim=1, end_dim=-1) : f32[2,12]"),
        (lambda x: x.permute(0, 2, 1), "transpose = transpose(x, permutation=(0, 2, 1)) : f32[2,4,3]"),
        (lambda x: x.permute((-1, 0, 1)), "transpose = transpose(x, permutation=(2, 0, 1)) : f32[4,2,3]"),
        (lambda x: x.transpose(1, -1), "transpose = transpose(x, permutation=(0, 2, 1)) : f32[2,4,3]"),
    ],
)
def test_layout(function, expected):
    assert body(function, (2, 3, 4)) == [expected]


def test_a_moved_dimension_does_not_excuse_a_wrong_shape():
    with pytest.raises(ShapeError, match=r"cannot reshape f32\[4,10\] .* to \[5, 4\]"):
        trace(lambda x: x.reshape(5, x.shape[0]), (4, 10))


def test_a_dimension_of_another_tensor_is_kept_only_where_it_agrees():
    assert body(lambda x, y: y.reshape(x.shape[0], -1), (2, 3), (2, 3, 4))[0].startswith(
        "reshape = reshape(y, shape=(0,"
    )
    assert (
        body(lambda x, y: y.reshape(x.shape[0], -1), (2, 3), (4, 3))[0]
        == "reshape = reshape(y, shape=(2, -1)) : f32[2,6]"
    )


def test_a_dimension_of_equal_size_is_not_the_same_axis():
    assert body(lambda x: x.reshape(x.shape[1], -1), (3, 3, 2)) == ["reshape = reshape(x, shape=(3, -1)) : f32[3,6]"]


def test_squeeze_drops_ones_only():
    assert body(lambda x: x.squeeze(), (2, 1, 3, 1)) == ["reshape = reshape(x, shape=(0, -1)) : f32[2,3]"]
    assert body(lambda x: x.squeeze(-1), (2, 1, 3, 1)) == ["reshape = reshape(x, shape=(0, 0, 0)) : f32[2,1,3]"]
    assert body(lambda x: x.squeeze(1), (2, 1, 3, 4)) == ["reshape = reshape(x, shape=(0, -1, 4)) : f32[2,3,4]"]
    assert body(lambda x: x.squeeze(0), (2, 1)) == []
    assert body(lambda x: x.T, (2, 3)) == ["transpose = transpose(x, permutation=(1, 0)) : f32[3,2]"]


def test_shape_questions_have_answers():
    def function(x):
        assert x.shape == (2, 3, 4)
        assert (x.size(), x.size(-1), x.dim(), x.ndim, x.numel(), len(x)) == ((2, 3, 4), 4, 3, 3, 24, 2)
        assert x.dtype == "float32"
        assert x.dtype == np.float32
        assert repr(x) == "Tensor(f32[2,3,4])"
        assert isinstance(x, Tensor)
        assert x is not None
        assert x != None  # noqa: E711 - what some people write
        assert x.contiguous() is x
        return x if x.shape[1] > 2 else -x

    assert trace(function, (2, 3, 4)).nodes == ()


def test_dim_is_an_integer_that_arithmetic_makes_plain():
    dim = Dim(5, 2)
    assert (dim, dim.axis, repr(dim)) == (5, 2, "5")
    assert type(dim + 1) is type(dim * 2) is type(int(dim)) is int
    assert pickle.loads(pickle.dumps(dim)).axis == 2


def test_a_tensor_outlives_no_trace():
    kept = []
    trace(lambda x: kept.append(x) or x, (2,))
    with pytest.raises(TraceError, match=r"forward \(test_tensor.py:\d+\): uses a tensor f32\[2\] of another trace"):
        trace(lambda x: x + kept[0], (2,))
    with pytest.raises(ExecutionError, match=r"add \(test_tensor.py:\d+\): .*no trace is running"):
        kept[0] + kept[0]
