"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convir.frontend import nn

INPUT_SHAPE = (1, 1, 8, 8)


class MLP(nn.Module):
    """Linear layers with ReLU between them, on flattened input: (N, ...) -> (N, num_classes).

    Args:
        in_features: elements of one sample, for instance 64 for (N, 1, 8, 8).
        hidden: width of each hidden layer; ``()`` makes a linear classifier.
        num_classes: width of the result.
    """

    def __init__(self, in_features: int = 64, hidden: Sequence[int] = (64, 32), num_classes: int = 10) -> None:
        self.flatten = nn.Flatten()
        self.hidden = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip([in_features, *hidden], hidden, strict=False)
        )
        self.head = nn.Linear([in_features, *hidden][-1], num_classes)

    def forward(self, x: Any) -> Any:
        """(N, ...) -> (N, num_classes)"""
        x = self.flatten(x)
        for layer in self.hidden:
            x = nn.functional.relu(layer(x))
        return self.head(x)


def mlp(in_features: int = 64, hidden: Sequence[int] = (64, 32), num_classes: int = 10) -> MLP:
    """A new multilayer perceptron: see :class:`MLP`."""
    return MLP(in_features, hidden, num_classes)
