"""Initialisation of parameters, in place. Random numbers come from the default generator unless one is given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convir.common.random import default_generator
from convir.frontend.missing import absent_from
from convir.frontend.nn.parameter import Parameter
from convir.ir import ShapeError

__all__ = ["constant_", "kaiming_normal_", "zeros_"]

if not TYPE_CHECKING:
    __getattr__ = absent_from("nn.init", __all__)


def kaiming_normal_(parameter: Parameter, generator: np.random.Generator | None = None) -> Parameter:
    """He initialisation: normal with mean 0 and variance ``2 / fan_in``, which keeps the scale through ReLUs.

    ``fan_in`` is what one output sums over: ``in`` of a weight (out, in), ``C/groups * KH * KW`` of
    (O, C/groups, KH, KW). (He et al. 2015, "Delving Deep into Rectifiers".)

    Raises:
        ShapeError: fewer than 2 dimensions, so there is no fan_in.
    """
    if parameter.ndim < 2:
        raise ShapeError(f"He initialisation needs a weight of at least 2 dimensions, got {parameter.type}")
    fan_in = math.prod(parameter.shape[1:])
    draw = (generator or default_generator()).standard_normal(parameter.shape)
    parameter.data = draw * math.sqrt(2 / fan_in)
    return parameter


def zeros_(parameter: Parameter) -> Parameter:
    """All elements 0."""
    parameter.data[...] = 0
    return parameter


def constant_(parameter: Parameter, value: float) -> Parameter:
    """All elements ``value``."""
    parameter.data[...] = value
    return parameter
