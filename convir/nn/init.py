"""Initialisation of parameters, in place."""

from typing import TYPE_CHECKING

from convir.frontend.missing import absent_from
from convir.frontend.nn.init import *  # noqa: F403
from convir.frontend.nn.init import __all__ as __all__

if not TYPE_CHECKING:
    __getattr__ = absent_from("nn.init", __all__)
