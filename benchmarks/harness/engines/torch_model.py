"""The model in PyTorch, for both of its engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.engines import Program
from harness.layers import Layer, require_linear

if TYPE_CHECKING:
    from harness.case import Case


def load(threads: int) -> dict[str, str]:
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    return {"torch": torch.__version__, "numpy": np.__version__}


def build_with(case: Case, compiled: Callable[[Any], Any]) -> Program:
    """``compiled`` gets the model, or in training a function of (images, labels), and returns what to call."""
    import torch
    from torch.nn.functional import cross_entropy

    model, parameters = _model(case)
    x, target = torch.from_numpy(case.images), torch.from_numpy(case.labels)
    if not case.training:
        infer = compiled(model.eval())

        def inference() -> Any:
            with torch.inference_mode():
                return infer(x)

        return Program(inference, lambda y: [y.numpy()])
    loss_of = compiled(lambda x, target: cross_entropy(model(x), target))

    def step() -> Any:
        for parameter in parameters:
            parameter.grad = None
        loss = loss_of(x, target)
        loss.backward()
        return loss

    return Program(step, lambda loss: [loss.detach().numpy(), *(parameter.grad.numpy() for parameter in parameters)])


def _model(case: Case) -> tuple[Any, list[Any]]:
    """The model with the case's weights, and its parameters in the case's order."""
    import torch
    from torch import nn

    modules, parameters = [], {}
    for layer in case.layers:
        module = _module(layer, case)
        for name, parameter in zip(layer.parameters, module.parameters(), strict=True):
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(case.weights[name]))
            parameters[name] = parameter
        modules.append(module)
    return nn.Sequential(*modules), [parameters[name] for name in case.weights]


def _module(layer: Layer, case: Case) -> Any:
    from torch import nn

    given = layer.attributes
    match layer.kind:
        case "conv2d":
            filters, per_group, *kernel = case.weights[layer.parameters[0]].shape
            groups, bias = given["groups"], len(layer.parameters) > 1
            return nn.Conv2d(per_group * groups, filters, tuple(kernel), *_window(given), groups, bias)
        case "max_pool2d":
            return nn.MaxPool2d(tuple(given["kernel_size"]), *_window(given), False, given["ceil_mode"])
        case "matmul":
            require_linear(layer)
            features = case.weights[layer.parameters[0]].shape
            return nn.Linear(features[1], features[0], bias=len(layer.parameters) > 1)
        case "relu":
            return nn.ReLU()
        case "flatten":
            return nn.Flatten(given["start_dim"], given["end_dim"])
    raise ValueError(f"no PyTorch module for {layer.kind}")


def _window(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The arguments of Conv2d and MaxPool2d after the kernel size."""
    return tuple(given["stride"]), tuple(given["padding"]), tuple(given["dilation"])
