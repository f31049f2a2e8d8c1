"""Neural-network layers: PyTorch's names, arguments and defaults, recorded instead of run.

Users import them as :mod:`convir.nn`.
"""

from typing import TYPE_CHECKING

from convir.frontend.missing import absent_from
from convir.frontend.nn import functional, init
from convir.frontend.nn.containers import ModuleList, Sequential
from convir.frontend.nn.layers import Conv2d, Linear
from convir.frontend.nn.module import Module
from convir.frontend.nn.parameter import Parameter
from convir.frontend.nn.stateless import AvgPool2d, Dropout, Flatten, Identity, MaxPool2d, ReLU, Sigmoid, Tanh

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
