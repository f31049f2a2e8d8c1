"""Every update step by step against torch.optim, and by hand where PyTorch is missing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from convir import ConvirError
from convir.training import SGD, Adam

SHAPES = {"w": (4, 3, 2, 2), "b": (4,), "scale": ()}

RULES = [
    SGD(0.1),
    SGD(0.1, weight_decay=0.05),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, weight_decay=0.05),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(0.1, momentum=0.5, weight_decay=0.05, nesterov=True),
    Adam(),
    Adam(lr=0.05, betas=(0.8, 0.9), eps=1e-3),
    Adam(lr=0.05, weight_decay=0.1),
    Adam(lr=0.05, betas=(0.0, 0.0)),
]


def arrays(seed: int, dtype: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: np.asarray(generator.standard_normal(shape), dtype) for name, shape in SHAPES.items()}


def torch_rule(torch, rule, parameters):
    if isinstance(rule, SGD):
        options = {"momentum": rule.momentum, "weight_decay": rule.weight_decay, "nesterov": rule.nesterov}
        return torch.optim.SGD(parameters, rule.lr, **options)
    return torch.optim.Adam(parameters, rule.lr, rule.betas, rule.eps, rule.weight_decay)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_every_step_is_pytorch_s(rule, dtype, tolerance):
    torch = pytest.importorskip("torch")
    ours = arrays(0, dtype)
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in ours.items()}
    optimizer = torch_rule(torch, rule, list(theirs.values()))
    update = rule.start(ours)
    for step in range(12):
        gradients = arrays(step + 1, dtype)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name])
        optimizer.step()
        update(gradients)
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name], tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_sgd_by_hand():
    p = {"p": np.array([1.0, -2.0])}
    update = SGD(0.1, momentum=0.5, weight_decay=1.0).start(p)
    update({"p": np.array([1.0, 0.0])})  # g = [2, -2], v = g
    np.testing.assert_allclose(p["p"], [0.8, -1.8])
    update({"p": np.array([0.0, 0.0])})  # g = [0.8, -1.8], v = [1.8, -2.8]
    np.testing.assert_allclose(p["p"], [0.62, -1.52])


def test_the_first_step_of_adam_is_the_learning_rate_times_the_sign():
    p = {"p": np.array([1.0, 1.0, 1.0])}
    Adam(lr=0.01, eps=0).start(p)({"p": np.array([5.0, -1e-3, 1e-9])})
    np.testing.assert_allclose(p["p"], [0.99, 1.01, 0.99])


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_updates_happen_in_place_and_leave_the_gradients_alone(rule):
    parameters, gradients = arrays(0, "float32"), arrays(1, "float32")
    kept = dict(parameters)
    for array in gradients.values():
        array.flags.writeable = False
    rule.start(parameters)(gradients)
    for name, array in parameters.items():
        assert array is kept[name]
        assert (array != arrays(0, "float32")[name]).any()


@pytest.mark.parametrize("rule", [RULES[5], RULES[8]], ids=str)
def test_a_step_allocates_no_arrays(rule):
    parameters = {"w": np.ones(100_000, "float32")}
    gradients = {"w": np.ones(100_000, "float32")}
    update = rule.start(parameters)
    update(gradients)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    update(gradients)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 2000


def test_two_runs_share_nothing():
    rule = SGD(0.1, momentum=0.9)
    first, second = arrays(0, "float64"), arrays(0, "float64")
    long, short = rule.start(first), rule.start(second)
    for step in range(3):
        long(arrays(step, "float64"))
    short(arrays(2, "float64"))
    fresh = arrays(0, "float64")
    rule.start(fresh)(arrays(2, "float64"))
    for name in SHAPES:
        np.testing.assert_array_equal(second[name], fresh[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(-0.1), "SGD: lr must be a finite number, 0 or more, got -0.1"),
        (lambda: SGD(float("nan")), "lr must be a finite number"),
        (lambda: SGD(float("inf")), "lr must be a finite number"),
        (lambda: SGD("fast"), "lr must be a finite number, 0 or more, got 'fast'"),
        (lambda: SGD(0.1, momentum=-1), "momentum must be"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay must be"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: Adam(lr=-1), "Adam: lr must be"),
        (lambda: Adam(eps=-1), "eps must be"),
        (lambda: Adam(weight_decay=-1), "weight_decay must be"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas are two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda: Adam(betas=(-0.1, 0.9)), "betas are two numbers"),
        (lambda: Adam(betas=(0.9,)), "betas are two numbers"),
    ],
)
def test_hyperparameters_out_of_range(make, message):
    with pytest.raises(ConvirError, match=message):
        make()
