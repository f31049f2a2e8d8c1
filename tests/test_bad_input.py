"""What does not fit is refused with a message that names the place, and leaves nothing half-done."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.graphs import Bound

import convir
from convir import ConvirError, DTypeError, ExecutionError, MemoryLimitError, ShapeError, TensorType, nn
from convir.ir import Builder
from convir.ir.ops import MatMul, Relu

F = nn.functional


class Net(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return F.relu(self.conv(x))


SHAPE = (2, 3, 8, 8)
NAN, INF = float("nan"), float("inf")


def net(**options) -> convir.Compiled:
    return convir.compile(Net(), SHAPE, **options)


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def graph():
    """A product with a parameter that is bound to nothing."""
    builder = Builder("g")
    x, w = builder.input("x", TensorType((2, 3))), builder.param("w", TensorType((3, 2)))
    return builder.finish([builder.emit(MatMul(), x, w, name="y")], {})


def seen_backwards():
    compiled = net()
    compiled(zeros(*SHAPE))
    compiled.backward(zeros(2, 4, 6, 6))
    compiled.backward(zeros(2, 4, 6, 6))


def after_a_call(*cotangents):
    compiled = net()
    compiled(zeros(*SHAPE))
    compiled.backward(*cotangents)


def classes(*target: int):
    convir.compile(F.cross_entropy, (2, 3), TensorType((2,), "int64"))(zeros(2, 3), np.array(target))


PLACE = r"conv2d at conv \(test_bad_input\.py:\d+\)"

#: What is done -> the error, and what its message says.
CASES = {
    "wrong rank": (lambda: convir.compile(Net(), (3, 8, 8)), ShapeError, f"{PLACE}: input must have 4 dimensions"),
    "wrong rank in a call": (lambda: net()(zeros(3, 8, 8)), ShapeError, r"input x must be f32\[2,3,8,8\], got shape"),
    "wrong channels": (lambda: convir.compile(Net(), (2, 1, 8, 8)), ShapeError, f"{PLACE}: input has 1 channel, .* 3"),
    "wrong channels in a call": (lambda: net()(zeros(2, 5, 8, 8)), ShapeError, f"{PLACE}: input has 5 channels"),
    "large kernel": (lambda: convir.compile(Net(), (2, 3, 2, 9)), ShapeError, f"{PLACE}: kernel 3x3 is larger than"),
    "large kernel in a call": (lambda: net()(zeros(2, 3, 2, 2)), ShapeError, f"{PLACE}: kernel 3x3 .* input 2x2"),
    "large window": (lambda: convir.compile(lambda x: F.max_pool2d(x, 4), (1, 1, 3, 3)), ShapeError, "max_pool2d.*4x4"),
    "zero stride": (lambda: nn.Conv2d(1, 1, 3, stride=0), ShapeError, r"Conv2d.*stride .*at least 1, got"),
    "negative stride": (lambda: nn.MaxPool2d(2, stride=-1), ShapeError, r"MaxPool2d.*stride .*at least 1, got"),
    "fractional stride": (lambda: nn.Conv2d(1, 1, 3, stride=1.5), ConvirError, r"Conv2d.*stride"),
    "negative padding": (lambda: nn.Conv2d(1, 1, 3, padding=-1), ShapeError, r"Conv2d.*padding .*at least 0"),
    "zero dilation": (lambda: nn.Conv2d(1, 1, 3, dilation=0), ShapeError, r"Conv2d.*dilation .*at least 1"),
    "padding over half": (lambda: nn.MaxPool2d(2, padding=2), ShapeError, r"MaxPool2d.*more than half of the window"),
    "padding over half, average": (lambda: nn.AvgPool2d(3, padding=2), ShapeError, r"AvgPool2d.*more than half"),
    "groups": (lambda: nn.Conv2d(3, 4, 3, groups=2), ShapeError, r"Conv2d.*groups"),
    "groups of filters": (lambda: nn.Conv2d(4, 3, 3, groups=2), ShapeError, r"Conv2d.*groups"),
    "zero groups": (lambda: nn.Conv2d(3, 3, 3, groups=0), ShapeError, r"Conv2d.*groups"),
    "float64 for float32": (lambda: net()(zeros(*SHAPE, dtype="float64")), DTypeError, r"input x must be float32"),
    "integers": (lambda: net()(zeros(*SHAPE, dtype="int64")), DTypeError, r"input x must be float32, got int64"),
    "half precision": (lambda: convir.compile(Net(), TensorType(SHAPE, "float16")), DTypeError, "'float16'; convir"),
    "integer images": (lambda: convir.compile(Net(), TensorType(SHAPE, "int32")), DTypeError, f"{PLACE}.*float32"),
    "mixed types": (lambda: convir.compile(Net(), TensorType(SHAPE, "float64")), DTypeError, f"{PLACE}: operands must"),
    "objects": (lambda: net()(None), DTypeError, r"input x must be float32, got NoneType"),
    "ragged lists": (lambda: net()([[1.0], [1.0, 2.0]]), ShapeError, r"input x must be f32\[2,3,8,8\]: "),
    "NaN in a shape": (lambda: convir.compile(Net(), (2, 3, NAN, 8)), ShapeError, "input x: .*integers, got nan"),
    "inf in a shape": (lambda: convir.compile(Net(), (2, 3, INF, 8)), ShapeError, "input x: .*integers, got inf"),
    "a fraction in a shape": (lambda: TensorType((2, 3.5)), ShapeError, r"positive integers, got 3\.5"),
    "a truth value in a shape": (lambda: TensorType((2, True)), ShapeError, r"positive integers, got True"),
    "text for a shape": (lambda: TensorType("2x3"), ShapeError, r"a shape is a tuple of positive integers, got '2x3'"),
    "a negative dimension": (lambda: convir.compile(Net(), (-1, 3, 8, 8)), ShapeError, r"input x: .*, got -1"),
    "batch of 0": (lambda: convir.compile(Net(), (0, 3, 8, 8)), ShapeError, r"input x: .*at least 1, got 0"),
    "batch of 0 in a call": (lambda: net()(zeros(0, 3, 8, 8)), ShapeError, r"input x: .*at least 1, got 0"),
    "unknown strategy": (lambda: net(conv="dct"), convir.UnsupportedError, r"strategy 'dct' .*: naive, im2col"),
    "no strategy": (lambda: net(conv=""), convir.UnsupportedError, r"strategy '' .*: naive, im2col"),
    "unknown backend": (lambda: net(backend="gpu"), convir.UnsupportedError, r"backend='gpu'; .*: numpy, numba, auto"),
    "no threads": (lambda: net(threads=0), ConvirError, r"threads is a positive integer"),
    "half a sample": (lambda: net(tile=0.5), ConvirError, r"tile is a positive number of samples, .* not 0.5"),
    "unknown strategy by name": (lambda: net(conv={"conv": "x"}), convir.UnsupportedError, r"strategy 'x' .*: naive"),
    "unknown node": (lambda: net(conv={"c": "naive"}), convir.UnsupportedError, r"conv= names c, but .* are: conv"),
    "unknown pooling": (lambda: net(pool="fast"), convir.UnsupportedError, r"pool='fast'; there are: taps, naive"),
    "unknown wrt": (lambda: net(wrt=["w"]), ConvirError, r"cannot differentiate net by 'w'; it has conv.weight, .*x"),
    "backward before forward": (lambda: net().backward(zeros(2, 4, 6, 6)), ExecutionError, r"needs a forward call"),
    "backward twice": (seen_backwards, ExecutionError, r"needs a forward call before it, one for each backward"),
    "backward of inference": (lambda: net(inference=True).backward(), ExecutionError, r"compiled for inference"),
    "no cotangent": (after_a_call, ShapeError, r"backward takes 1 cotangents \(conv.grad: f32\[2,4,6,6\]\), got 0"),
    "cotangent shape": (lambda: after_a_call(zeros(2, 4, 6)), ShapeError, r"conv.grad must be f32\[2,4,6,6\]"),
    "cotangent batch": (lambda: after_a_call(zeros(1, 4, 6, 6)), ShapeError, r"cotangent .* got shape \[1, 4, 6, 6\]"),
    "cotangent type": (lambda: after_a_call(np.ones((2, 4, 6, 6))), DTypeError, r"cotangent conv.grad must be float32"),
    "too few inputs": (lambda: net()(), ShapeError, r"net takes 1 inputs \(x: f32\[2,3,8,8\]\), got 0"),
    "too many inputs": (lambda: net()(zeros(*SHAPE), zeros(1)), ShapeError, r"net takes 1 inputs .* got 2"),
    "too large": (lambda: convir.compile(Net(), (10**7, 3, 99, 99)), MemoryLimitError, r"needs .* GiB \(\d+ bytes"),
    "class too large": (lambda: classes(0, 3), ExecutionError, r"cross_entropy: target holds class 3, .* 0 to 2"),
    "negative class": (lambda: classes(-1, 0), ExecutionError, r"cross_entropy: target holds class -1"),
    "shapes for a graph": (lambda: convir.compile(graph(), (2, 3)), ConvirError, r"takes no others; see convir.infer"),
    "unbound parameters": (lambda: convir.compile(graph()), ConvirError, r"graph g .* bindings lack \['w'\]"),
    "unbound snapshot": (lambda: convir.compile(graph(), inference=True), ConvirError, r"graph g .* bindings lack 'w'"),
    "binding of another type": (
        lambda: convir.compile(graph().replace(bindings={"w": Bound(np.ones((3, 2)))})),
        ConvirError,
        r"parameter w: f32\[3,2\] is bound to an array f64\[3,2\]",
    ),
    "binding that is a transpose": (
        lambda: convir.compile(graph().replace(bindings={"w": Bound(np.ones((2, 3), "f").T)})),
        ConvirError,
        r"parameter w: f32\[3,2\] is bound to an array that is not contiguous",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("action", "error", "message"), CASES.values(), ids=CASES.keys())
def test_is_refused(action, error, message):
    with pytest.raises(ConvirError) as caught:
        action()
    assert isinstance(caught.value, error)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_errors_are_what_python_convention_says():
    bases = {ShapeError: ValueError, DTypeError: TypeError, ExecutionError: RuntimeError, MemoryLimitError: MemoryError}
    assert all(issubclass(error, base) and issubclass(error, ConvirError) for error, base in bases.items())


def test_an_error_knows_message_and_place():
    error = ShapeError("too large", "conv2d at features.3 (net.py:12)")
    assert (error.message, error.where) == ("too large", "conv2d at features.3 (net.py:12)")
    assert str(error) == "conv2d at features.3 (net.py:12): too large"
    assert error.located("elsewhere") is error


def test_a_refused_call_leaves_the_last_one_to_differentiate():
    compiled = net()
    x = np.random.default_rng(0).standard_normal(SHAPE).astype("f")
    dy = np.ones((2, 4, 6, 6), "f")
    compiled(x)
    expected = compiled.backward(dy)
    compiled(x)
    for bad in (zeros(2, 5, 8, 8), zeros(3, 8, 8), zeros(0, 3, 8, 8), zeros(*SHAPE, dtype="float64")):
        with pytest.raises(ConvirError):
            compiled(bad)
    with pytest.raises(ConvirError):
        compiled.backward(dy[:1])
    found = compiled.backward(dy)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_call_that_failed_half_way_has_no_backward():
    compiled = convir.compile(F.cross_entropy, (2, 3), TensorType((2,), "int64"))
    compiled(zeros(2, 3), np.array([0, 1]))
    with pytest.raises(ExecutionError, match="target holds class 5"):
        compiled(zeros(2, 3), np.array([0, 5]))
    with pytest.raises(ExecutionError, match="needs a forward call"):
        compiled.backward()
    compiled(zeros(2, 3), np.array([0, 1]))
    compiled.backward()


def test_a_model_whose_type_changed_must_be_compiled_again():
    model = Net()
    compiled = convir.compile(model, SHAPE)
    model.double()
    with pytest.raises(ExecutionError, match=r"parameter conv.weight was replaced after compiling .* compile again"):
        compiled(zeros(*SHAPE))


def test_activations_of_integers_are_refused():
    builder = Builder("ints")
    x = builder.input("x", TensorType((2,), "int64"))
    with pytest.raises(DTypeError, match=r"relu: input must be float32 or float64, got i64\[2\]"):
        builder.emit(Relu(), x)
