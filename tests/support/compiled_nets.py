"""The net that the tests of compiled models run, and data for it."""

from __future__ import annotations

import numpy as np

from convir import nn

F = nn.functional


def draw(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class Net(nn.Module):
    """A convolution, dropout and a linear layer: (N, 1, 6, 6) -> (N, 2)."""

    def __init__(self):
        self.conv = nn.Conv2d(1, 3, 3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3 * 4 * 4, 2)

    def forward(self, x):
        return self.fc(self.drop(F.relu(self.conv(x))).flatten(1))


X = draw(2, 1, 6, 6)
