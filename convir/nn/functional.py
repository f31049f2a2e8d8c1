"""The layers as functions of tensors: PyTorch's names, argument order, defaults and meaning."""

from typing import TYPE_CHECKING

from convir.frontend.missing import absent_from
from convir.frontend.nn.functional import *  # noqa: F403
from convir.frontend.nn.functional import __all__ as __all__

if not TYPE_CHECKING:
    __getattr__ = absent_from("nn.functional", __all__)
