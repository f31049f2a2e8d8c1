"""Modules: attributes become parameters and sub-modules, containers, modes, state dicts."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from convir.common.random import manual_seed
from convir.frontend import nn, trace
from convir.ir import DTypeError, ExecutionError, ShapeError, StateDictError, TraceError, UnsupportedError


class Block(nn.Module):
    def __init__(self):  # no super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, bias=False)
        self.scale = nn.Parameter([1.0, 2.0])
        self.nothing = None
        self.number = 3


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.again = self.first
        self.layers = nn.ModuleList([nn.Linear(2, 3), nn.ReLU()])


def test_names():
    model = Model()
    assert [name for name, _ in model.named_parameters()] == [
        "first.scale", "first.conv.weight", "layers.0.weight", "layers.0.bias"
    ]  # fmt: skip
    assert [name for name, _ in model.named_modules()] == [
        "", "first", "first.conv", "layers", "layers.0", "layers.1"
    ]  # fmt: skip
    assert [name for name, _ in model.named_children()] == ["first", "layers"]
    assert list(model.children()) == [model.first, model.layers]
    assert len(list(model.modules())) == 6
    assert len(list(model.parameters())) == 4
    assert [name for name, _ in model.first.named_parameters(prefix="p", recurse=False)] == ["p.scale"]
    assert list(model.parameters(recurse=False)) == []


def test_a_shared_parameter_comes_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [value.name for value in trace(model, (1, 2)).params] == ["0.weight", "0.bias", "1.bias"]


def test_state_dict_holds_copies_under_every_name():
    model = Model()
    state = model.state_dict()
    assert list(state) == [
        "first.scale", "first.conv.weight", "again.scale", "again.conv.weight", "layers.0.weight", "layers.0.bias"
    ]  # fmt: skip
    state["first.scale"][:] = 9
    np.testing.assert_array_equal(model.first.scale.data, [1, 2])


def test_arguments_nobody_reads_are_an_error():
    class Plain(nn.Module):
        pass

    with pytest.raises(TypeError):
        Plain(3)
    with pytest.raises(TypeError):
        nn.Sigmoid(True)


def test_calling_a_module_outside_of_a_trace_says_how_to_run_it():
    with pytest.raises(
        ExecutionError, match=r"ReLU is a description.*convir.compile\(model, \(2, 3\)\), then compiled"
    ):
        nn.ReLU()(np.ones((2, 3)))
    with pytest.raises(ExecutionError, match=r"convir.compile\(model, shape\)"):
        nn.ReLU()(1)


def test_modes():
    model = Model()
    assert model.training
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train().layers[0].training
    assert not model.first.train(False).conv.training


def test_element_types():
    model = Model()
    before = model.first.scale.data
    assert model.float() is model
    assert model.first.scale.data is before
    assert model.double().first.scale.data.dtype == np.float64
    assert model.to(np.float32).layers[0].weight.dtype == "float32"
    with pytest.raises(DTypeError, match="a parameter is float32 or float64, got int64"):
        model.to("int64")
    with pytest.raises(DTypeError, match="unknown element type 'half'"):
        model.to("half")


def test_freezing_and_apply():
    model = Model()
    assert model.requires_grad_(False) is model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    visited = []
    model.apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Conv2d", "Block", "Linear", "ReLU", "ModuleList", "Model"]


def test_copies_are_independent():
    for model in (copy.deepcopy(Model()), pickle.loads(pickle.dumps(Model()))):
        assert model.again is model.first
        model.first.scale.data = [5, 6]
        np.testing.assert_array_equal(model.state_dict()["again.scale"], [5, 6])


def test_sequential_is_a_list():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
    assert len(model) == 3
    assert [type(layer).__name__ for layer in model] == ["Conv2d", "ReLU", "Flatten"]
    assert model[-1] is model[2]
    assert list(model[1:].state_dict()) == []
    assert list(model[:1].state_dict()) == ["0.weight", "0.bias"]
    model[1] = nn.Tanh()
    assert [node.op.name for node in trace(model, (1, 1, 4, 4)).nodes] == ["conv2d", "tanh", "flatten"]
    with pytest.raises(IndexError, match="Sequential of 3 modules has no index 3"):
        model[3]
    tail = model[1:].append(nn.ReLU())
    assert [type(layer).__name__ for layer in tail] == ["Tanh", "Flatten", "ReLU"]


def test_sequential_with_names():
    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU()))
    assert list(model.state_dict()) == ["conv.weight", "conv.bias"]
    assert model.conv is model[0]
    assert [node.name for node in trace(model, (1, 1, 4, 4)).nodes] == ["conv", "act"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential([nn.ReLU()]), r"Sequential \(.*not a list of them; unpack it: Sequential\(\*layers\)"),
        (lambda: nn.Sequential(nn.ReLU(), nn.functional.relu), r"Sequential \(.*entry '1' must be a module such as"),
        (lambda: nn.Sequential(nn.ReLU), r"entry '0' is a class; write ReLU\(...\), with parentheses"),
        (lambda: nn.ModuleList([1]), r"ModuleList \(.*entry '0' must be a module such as nn.ReLU\(\), got int"),
        (lambda: nn.Sequential({"a.b": nn.ReLU()}), "cannot be named 'a.b'"),
        (lambda: nn.Sequential({"forward": nn.ReLU()}), "cannot be named 'forward'"),
        (lambda: nn.Sequential({"": nn.ReLU()}), "cannot be named ''"),
    ],
)
def test_wrong_members(make, message):
    with pytest.raises(TraceError, match=message):
        make()


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3)).extend([nn.ReLU()])
    assert len(layers) == 4
    assert list(layers[1:].state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(UnsupportedError, match="a ModuleList cannot be called; loop over its modules"):
        trace(lambda x: layers(x), (1, 2))


def test_parameter_data_keeps_its_identity():
    parameter = nn.Parameter(np.zeros((2, 3), "float32"))
    array = parameter.data
    parameter.data = np.ones((2, 3))
    parameter.data += 1
    assert parameter.data is array
    np.testing.assert_array_equal(array, np.full((2, 3), 2, "float32"))
    with pytest.raises(ShapeError, match=r"a parameter f32\[2,3\] cannot hold an array of shape \[3\]"):
        parameter.data = np.ones(3)
    with pytest.raises(DTypeError, match="cannot hold complex128 elements"):
        parameter.data = np.ones((2, 3), complex)
    np.testing.assert_array_equal(np.asarray(parameter), array)
    assert parameter.to("float64").data is not array


def test_parameter_types():
    source = np.zeros(3)
    assert nn.Parameter(source).type.dtype == "float64"
    assert not np.shares_memory(nn.Parameter(source).data, source)
    assert nn.Parameter([1, 2]).type.dtype == "float32"
    assert nn.Parameter(nn.Parameter(source)).type.dtype == "float64"
    assert nn.Parameter(1.5).shape == ()
    assert repr(nn.Parameter([1.0], requires_grad=False)).endswith("requires_grad=False)")
    with pytest.raises(
        DTypeError, match=r"Parameter \(test_module.py:\d+\): .*got int64; convert the array with astype"
    ):
        nn.Parameter(np.ones(3, int))
    with pytest.raises(ShapeError, match="every dimension must be at least 1"):
        nn.Parameter(np.ones((0, 3), "float32"))


def test_parameters_compare_as_objects_outside_of_a_trace():
    one, two = nn.Parameter([1.0]), nn.Parameter([1.0])
    assert one == one
    assert one != two
    assert two in [one, two]


def test_in_place_operators_on_parameters_are_refused():
    model = Block()
    with pytest.raises(TraceError, match=r"parameter \+= x \(.*write parameter.data \+= "):
        model.scale += 1
    with pytest.raises(TraceError, match=r"np.asarray\(parameter\) .*use the parameter"):
        trace(lambda x: x * np.asarray(model.scale), (2,))


@pytest.mark.parametrize("value", [np.ones(2, "float32"), [1.0, 2.0], 3, nn.ReLU()])
def test_a_parameter_is_not_replaced_by_anything_else(value):
    model = Block()
    found = type(value).__name__
    message = (
        rf"^Block.scale \(.*: holds a parameter f32\[2\], and cannot be set to {found}; .*model.scale.data = array"
    )
    with pytest.raises(TraceError, match=message):
        model.scale = value
    assert list(model.state_dict()) == ["scale", "conv.weight"]
    model.scale = nn.Parameter([3.0])
    model.scale = None
    assert list(model.state_dict()) == ["conv.weight"]
    model.number = value
    assert model.number is value


def test_seeds_make_initialisation_repeatable():
    def weights(seed):
        manual_seed(seed)
        return nn.Conv2d(3, 4, 5).weight.data

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [(lambda: nn.Conv2d(16, 64, 5, groups=4), 4 * 25), (lambda: nn.Linear(200, 300), 200)],
)
def test_he_initialisation(make, fan_in):
    manual_seed(0)
    layer = make()
    assert layer.weight.data.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.03)
    assert abs(layer.weight.data.mean()) < 0.05 * layer.weight.data.std()
    assert not layer.bias.data.any()


def test_init_functions():
    weight = nn.Parameter(np.ones((2, 3), "float32"))
    array = weight.data
    assert nn.init.kaiming_normal_(weight, np.random.default_rng(3)) is weight
    expected = np.random.default_rng(3).standard_normal((2, 3)) * np.sqrt(2 / 3)
    np.testing.assert_allclose(array, expected, rtol=1e-6)
    assert nn.init.constant_(weight, 3.0).data.sum() == 18
    assert not nn.init.zeros_(weight).data.any()
    with pytest.raises(ShapeError, match="at least 2 dimensions"):
        nn.init.kaiming_normal_(nn.Parameter([1.0]))


def test_loading_a_state_dict():
    model, other = Model(), Model()
    arrays = {name: parameter.data for name, parameter in model.named_parameters()}
    result = model.load_state_dict(other.state_dict())
    assert result == ([], [])
    for name, parameter in model.named_parameters():
        assert parameter.data is arrays[name]
        np.testing.assert_array_equal(parameter.data, other.state_dict()[name])


def test_a_state_dict_that_does_not_fit_changes_nothing():
    model = Model()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["layers.0.bias"]
    state["extra"] = np.ones(1)
    state["layers.0.weight"] = np.ones((3, 3))
    state["first.scale"] = np.ones(2, complex)
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(state)
    assert (
        str(caught.value)
        == """\
Model: the state dict does not fit, nothing was loaded
  missing: layers.0.bias
  unexpected: extra
  element type: first.scale is complex128, the model has float32
  shape: layers.0.weight is [3, 3], the model has [3, 2]"""
    )
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_strictness():
    model = nn.Linear(2, 1)
    with pytest.raises(StateDictError, match="strict=False loads the names that agree"):
        model.load_state_dict({"bias": [5]})
    assert model.load_state_dict({"bias": [5], "x": 1}, strict=False) == (["weight"], ["x"])
    assert model.bias.data[0] == 5
    with pytest.raises(StateDictError, match=r"shape: bias is \[2\]"):
        model.load_state_dict({"bias": [5, 5]}, strict=False)
    with pytest.raises(StateDictError, match="Linear: a state dict maps names to arrays, got list"):
        model.load_state_dict([1])


def test_loading_the_models_own_arrays_in_another_order():
    model = Block()
    model.other = nn.Parameter([3.0, 4.0])
    swapped = {"scale": model.other.data, "other": model.scale.data, "conv.weight": model.conv.weight.data}
    model.load_state_dict(swapped)
    np.testing.assert_array_equal([model.scale.data, model.other.data], [[3, 4], [1, 2]])


def test_dropout_follows_the_mode():
    model = nn.Sequential(nn.Dropout(0.25))
    train = trace(model, (2, 3))
    assert [str(node.op) for node in train.nodes] == ["DropoutMask(p=0.25)", "Mul()"]
    assert train.nodes[1].inputs == (train.inputs[0], train.nodes[0].outputs[0])
    assert trace(model.eval(), (2, 3)).nodes == ()
    assert trace(nn.Dropout(0), (2, 3)).nodes == ()
