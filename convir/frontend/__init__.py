"""The frontend: modules in PyTorch's style, and the tracer that makes graphs of them."""

from convir.frontend import nn
from convir.frontend.tensor import Tensor
from convir.frontend.trace import trace

__all__ = ["Tensor", "nn", "trace"]
