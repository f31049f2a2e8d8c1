"""Tracing: names, scopes, sources, parameters, several inputs and outputs, and what goes wrong."""

import functools
import inspect
import threading

import numpy as np
import pytest

from convir.frontend import nn, trace
from convir.ir import DTypeError, ShapeError, TensorType, TraceError, verify


class Net(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(1, 6, 5, padding=2)
        self.fc = nn.Linear(6 * 14 * 14, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv(x)), 2)
        return self.fc(x.flatten(1))


def names(graph):
    return [node.name for node in graph.nodes]


def test_the_text_of_a_model():
    graph = trace(Net(), (64, 1, 28, 28))
    verify(graph)
    assert (
        str(graph)
        == """\
graph net(x: f32[64,1,28,28]) -> f32[64,10]:
  conv = conv2d(x, conv.weight, conv.bias, stride=(1, 1), padding=(2, 2)) : f32[64,6,28,28]            # conv
  relu = relu(conv) : f32[64,6,28,28]
  max_pool2d = max_pool2d(relu, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2)) : f32[64,6,14,14]
  flatten = flatten(max_pool2d, start_dim=1, end_dim=-1) : f32[64,1176]
  fc = matmul(flatten, fc.weight, fc.bias, transpose_b=True) : f32[64,10]                              # fc
  return fc"""
    )
    assert [value.name for value in graph.params] == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    assert [node.origin for node in graph.nodes] == names(graph)


def test_positions_in_a_sequential_are_no_names():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Flatten()))
    graph = trace(model, (1, 1, 4, 4))
    assert names(graph) == ["conv2d", "relu", "relu_1", "flatten"]
    assert [node.scope for node in graph.nodes] == ["0", "1", "2", "3.0"]
    assert [value.name for value in graph.params] == ["0.weight", "0.bias"]


def test_no_gaps_where_functions_and_modules_mix():
    class Mixed(nn.Module):
        def __init__(self):
            self.act = nn.ReLU()

        def forward(self, x):
            x = nn.functional.relu(x)
            x = self.act(x)
            x = nn.ReLU()(x)
            return self.act(nn.functional.relu(x))

    graph = trace(Mixed(), (2,))
    assert names(graph) == ["relu", "act", "relu_1", "relu_2", "act_1"]
    assert [node.scope for node in graph.nodes] == ["", "act", "", "", "act"]


def test_the_result_of_a_leaf_module_has_its_name():
    class Swish(nn.Module):
        def forward(self, x):
            return x * x.sigmoid()

    class Outer(nn.Module):
        def __init__(self):
            self.swish = Swish()

        def forward(self, x):
            return self.swish(x) + 1

    assert names(trace(Outer(), (2,))) == ["sigmoid", "swish", "constant", "add"]


def test_a_module_made_in_forward_lends_its_name_to_nothing():
    class Act(nn.Module):
        def forward(self, x):
            return nn.Tanh()(x) * 2

    class Outer(nn.Module):
        def __init__(self):
            self.act = Act()

        def forward(self, x):
            return self.act(x)

    graph = trace(Outer(), (2,))
    assert names(graph) == ["tanh", "constant", "act"]
    assert {node.scope for node in graph.nodes} == {"act"}


def test_a_part_called_before_the_whole_keeps_its_name():
    net = Net()
    graph = trace(lambda x, y: (net.conv(x), net(y)), (1, 1, 5, 5), (1, 1, 28, 28))
    assert [node.scope for node in graph.nodes if node.op.name == "conv2d"] == ["conv2d", "conv2d"]
    assert [value.name for value in graph.params] == ["conv2d.weight", "conv2d.bias", "net.fc.weight", "net.fc.bias"]


def test_state_dict_names_win_over_inputs_and_nodes():
    class Clash(nn.Module):
        def __init__(self):
            self.x = nn.Parameter(np.ones(3, "float32"))
            self.mul = nn.Parameter(np.ones(3, "float32"))

        def forward(self, x):
            return self.x * x * self.mul

    graph = trace(Clash(), (2, 3))
    verify(graph)
    assert [value.name for value in graph.params] == ["x", "mul"]
    assert [value.name for value in graph.inputs] == ["x_1"]
    assert names(graph) == ["mul_1", "mul_2"]


def test_parameters_stand_in_model_order_and_unused_ones_are_left_out():
    class Backwards(nn.Module):
        def __init__(self):
            self.first = nn.Linear(3, 3)
            self.unused = nn.Linear(3, 3)
            self.second = nn.Linear(3, 3, bias=False)

        def forward(self, x):
            return self.first(self.second(x))

    model = Backwards()
    graph = trace(model, (2, 3))
    assert [value.name for value in graph.params] == ["first.weight", "first.bias", "second.weight"]
    assert list(graph.bindings) == ["first.weight", "first.bias", "second.weight"]
    assert graph.bindings["second.weight"] is model.second.weight
    assert graph.bindings["first.bias"].data is model.first.bias.data


def test_a_module_used_twice_shares_its_parameters():
    class Twice(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(2, 2, 3, padding=1)
            self.again = self.conv

        def forward(self, x):
            return self.again(self.conv(x))

    graph = trace(Twice(), (1, 2, 4, 4))
    assert names(graph) == ["conv", "conv_1"]
    assert [value.name for value in graph.params] == ["conv.weight", "conv.bias"]
    assert graph.nodes[0].inputs[1] == graph.nodes[1].inputs[1]


def test_parameter_arithmetic():
    class Scale(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(np.ones((3, 1), "float32"))

        def forward(self, x):
            return 2 * self.scale.exp() * x + self.scale.reshape(-1).sum() - np.ones(3, "float32") / self.scale

    graph = trace(Scale(), (2, 3, 3))
    verify(graph)
    assert " ".join(node.op.name for node in graph.nodes) == "exp constant mul mul reshape sum add constant div sub"
    assert [value.name for value in graph.params] == ["scale"]


def test_functions_name_modules_after_their_class():
    one, two, net, free = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), Net(), nn.Parameter(np.ones(3, "float32"))

    def function(image, other):
        return two(one(image)), one(image) * 1, net(other) * free.sum()

    graph = trace(function, (1, 1, 8, 8), (1, 1, 28, 28))
    verify(graph)
    assert graph.name == "function"
    assert [value.name for value in graph.inputs] == ["image", "other"]
    assert " ".join(value.name for value in graph.params) == (
        "conv2d.weight conv2d.bias conv2d_1.weight conv2d_1.bias "
        "net.conv.weight net.conv.bias net.fc.weight net.fc.bias parameter"
    )
    assert [node.scope for node in graph.nodes][:3] == ["conv2d", "conv2d_1", "conv2d"]
    assert graph.node("conv").scope == "net.conv"


def test_methods_belong_to_their_module():
    class Auto(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(3, 2)

        def encode(self, x):
            return self.fc(x)

    graph = trace(Auto().encode, (1, 3))
    assert graph.name == "encode"
    assert [value.name for value in graph.params] == ["fc.weight", "fc.bias"]


def test_names_of_graphs():
    assert trace(lambda x: x, (1,)).name == "function"
    assert trace(functools.partial(lambda x, y: x + y, y=1), (1,)).name == "partial"
    assert trace(Net(), (1, 1, 28, 28), name="mine").name == "mine"
    assert trace(nn.Sequential(), (1,)).name == "sequential"


def test_specs():
    graph = trace(lambda a, b, *rest, c=None: a, TensorType((2,), "float64"), [3, 4], (5,), (6,))
    assert [str(value) for value in graph.inputs] == ["a: f64[2]", "b: f32[3,4]", "rest_0: f32[5]", "rest_1: f32[6]"]
    assert [str(v) for v in trace(lambda x, mask=None: x if mask is None else x * mask, (2,)).inputs] == ["x: f32[2]"]


def test_outputs():
    def function(x):
        return {"a": -x, "rest": [x, (x.exp(), x.exp())]}

    graph = trace(function, (2,))
    assert [value.name for value in graph.outputs] == ["neg", "x", "exp", "exp_1"]
    same = trace(lambda x: (x, x), (2,))
    assert same.outputs == same.inputs * 2
    parameter = nn.Parameter([1.0])
    assert [value.name for value in trace(lambda x: parameter, (2,)).outputs] == ["parameter"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned NoneType; a traced model returns a tensor, .*is there a return at the end"),
        (3, "returned int;"),
        (np.ones(3), "returned ndarray;"),
        ((), "returned an empty tuple; return at least one tensor"),
        ({"a": [None]}, "returned NoneType inside a dict;"),
    ],
)
def test_other_outputs_are_refused(result, message):
    def function(x):
        return result

    line = inspect.getsourcelines(function)[1]
    with pytest.raises(TraceError, match=rf"^function \(test_trace.py:{line}\): {message}"):
        trace(function, (2,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x, y: x, (1,)), r"takes 2 inputs \(x, y\), got 1 spec; .*trace\(model, shape_of_x, shape_of_y\)"),
        ((lambda x, y=1: x,), r"takes 1 to 2 inputs \(x, y\), got 0 specs"),
        ((Net(), (1,), (1,)), r"^Net.forward \(test_trace.py:\d+\): takes 1 input \(x\), got 2 specs"),
        ((Net(), 1, 1, 28, 28), r"pass a shape as one tuple: trace\(model, \(1, 1, 28, 28\)\)"),
        ((Net(), np.ones(3)), r"^input x: a spec is a shape .*got ndarray; write trace\(model, TensorType\(x.shape, "),
        ((Net(), "28"), r"^input x: a spec is a shape .*got '28'"),
        ((lambda *, x: x,), r"needs keyword-only arguments \(x\)"),
        ((Net, (1,)), r"Net is a class; trace an instance of it: trace\(Net\(...\), shape\)"),
        ((3, (1,)), "trace takes a Module or a function, .*got int"),
        ((nn.Module(), (1,)), r"Module has no forward; define forward\(self, x\)"),
    ],
)
def test_wrong_models_and_specs(arguments, message):
    with pytest.raises(TraceError, match=message):
        trace(*arguments)


@pytest.mark.parametrize("shape", [(1, float("nan")), (1, float("inf")), (0, 3), (-1, 3), (True, 2), (2.0,)])
def test_impossible_shapes(shape):
    with pytest.raises(ShapeError, match=r"^input x: .*positive integers|^input x: every dimension must be at least 1"):
        trace(lambda x: x, shape)


def test_shape_errors_name_the_module_and_the_line():
    class Wrong(nn.Module):
        def __init__(self):
            self.one = nn.Conv2d(1, 6, 3)
            self.two = nn.Conv2d(3, 6, 3)

        def forward(self, x):
            x = self.one(x)
            return self.two(x)

    line = inspect.getsourcelines(Wrong.forward)[1] + 2
    message = rf"^conv2d at body.two \(test_trace.py:{line}\): input has 6 channels, weight f32\[6,3,3,3\] expects 3$"

    class Outer(nn.Module):
        def __init__(self):
            self.body = Wrong()

        def forward(self, x):
            return self.body(x)

    with pytest.raises(ShapeError, match=message):
        trace(Outer(), (1, 1, 28, 28))


def test_layers_of_a_sequential_are_placed_where_they_were_made():
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.ReLU(),
            nn.Conv2d(3, 6, 3),
        )

    class Net(nn.Module):
        def __init__(self):
            self.features = make()

        def forward(self, x):
            return self.features(x)

    line = inspect.getsourcelines(make)[1] + 4
    with pytest.raises(ShapeError, match=rf"^conv2d at 2 \(test_trace.py:{line}\): input has 6 channels"):
        trace(make(), (1, 1, 28, 28))
    with pytest.raises(ShapeError, match=rf"^conv2d at features.2 \(test_trace.py:{line}\): input has 6 channels"):
        trace(Net(), (1, 1, 28, 28))


def test_sources_of_nodes():
    graph = trace(lambda x: nn.functional.relu(x) + 1, (2,))
    line = inspect.currentframe().f_lineno - 1
    assert [str(node.source) for node in graph.nodes] == [f"test_trace.py:{line}"] * 3


def test_element_types_must_agree():
    with pytest.raises(DTypeError, match=r"conv2d at conv .*input is float64, weight is float32.*model.to\(\)"):
        trace(Net(), TensorType((1, 1, 28, 28), "float64"))
    assert trace(Net().double(), TensorType((1, 1, 28, 28), "float64")).outputs[0].type.dtype == "float64"


@pytest.mark.parametrize("keep", ["list", "forward", "class"])
def test_modules_that_nobody_owns(keep):
    class Hidden(nn.Module):
        by_class = nn.Linear(3, 3)

        def __init__(self):
            self.layers = [nn.Linear(3, 3)]

        def forward(self, x):
            layer = {"list": self.layers[0], "forward": nn.Linear(3, 3), "class": self.by_class}[keep]
            return layer(x)

    with pytest.raises(TraceError, match=r"^forward \(test_trace.py:\d+\): uses a parameter f32\[3,3\] that Hidden "
                                         r"does not own.*nn.Sequential or nn.ModuleList"):  # fmt: skip
        trace(Hidden(), (2, 3))


def test_errors_of_the_users_own_code_pass_through():
    class Buggy(nn.Module):
        def forward(self, x):
            return self.missing(x)

    with pytest.raises(AttributeError, match="missing"):
        trace(Buggy(), (2,))
    trace(lambda x: x, (2,))  # the trace that failed is over


def test_a_trace_inside_a_trace_is_independent():
    inner = []

    def function(x):
        inner.append(trace(lambda y: y.exp(), (3,)))
        return -x

    graph = trace(function, (2,))
    assert names(graph) == ["neg"]
    assert names(inner[0]) == ["exp"]


def test_threads_trace_apart():
    together = threading.Barrier(4, timeout=10)
    graphs = {}

    def work(number):
        def function(x):
            for _ in range(number + 1):
                together.wait()
                x = x.relu()
                together.wait()
            for _ in range(3 - number):
                together.wait()
                together.wait()
            return x

        graphs[number] = trace(function, (2,))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(graphs[number].nodes) for number in range(4)] == [1, 2, 3, 4]


def test_loops_and_branches_on_shapes():
    def function(x):
        for _ in range(x.shape[0]):
            x = x.relu() if x.shape[1] == 3 else x.tanh()
        return x

    assert names(trace(function, (2, 3))) == ["relu", "relu_1"]
    assert names(trace(function, (1, 4))) == ["tanh"]


def test_pytorch_modules_are_recognised():
    torch = pytest.importorskip("torch")
    with pytest.raises(TraceError, match=r"Linear is a PyTorch module; .*load_state_dict"):
        trace(torch.nn.Linear(2, 2), (1, 2))
