"""Neural-network layers: :mod:`convir.frontend.nn` under the name that users import.

``import convir.nn as nn`` and ``import convir.nn.functional as F`` work as in PyTorch.
"""

from typing import TYPE_CHECKING

from convir.frontend.missing import absent_from
from convir.frontend.nn import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    ModuleList,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from convir.nn import functional, init

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional",
    "init",
]

if not TYPE_CHECKING:
    __getattr__ = absent_from("nn", __all__)
