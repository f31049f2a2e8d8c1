"""The models, defined once, in convir; the other engines get what convir traces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import convir
from convir import nn, zoo
from harness.conv_layers import CONV_LAYERS, ConvLayer


def digits810() -> nn.Module:
    """8 x 8 digits with 810 parameters: what a call costs beside the arithmetic."""
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


def cifar() -> nn.Module:
    """Four 3 x 3 convolutions on 32 x 32 colour images, two linear layers: 1,116,970 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10)),
    )


def conv_relu(layer: ConvLayer) -> nn.Module:
    """A layer of a well-known network by itself."""
    convolution = nn.Conv2d(layer.channels, layer.filters, 3, stride=layer.stride, padding=1)
    return nn.Sequential(convolution, nn.ReLU())


Models = dict[str, Callable[[], nn.Module]]
WHOLE: Models = {"lenet5": zoo.lenet5, "digits810": digits810, "cifar": cifar}
MODELS: Models = {**WHOLE, **{layer.name: partial(conv_relu, layer) for layer in CONV_LAYERS}}


class WithLoss(nn.Module):
    """(images, labels) -> mean cross-entropy."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def forward(self, x: Any, target: Any) -> Any:
        return nn.functional.cross_entropy(self.model(x), target)


def step_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[WithLoss, tuple[Any, Any], list[str]]:
    """(images, labels) -> loss, the types of both, and the names of the parameters to differentiate by.

    The gradient of the images is not asked for: training has no use for it.
    """
    step = WithLoss(model)
    return step, (shape, convir.TensorType((shape[0],), "int64")), [name for name, _ in step.named_parameters()]
