"""LeNet-5 (LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998)."""

from __future__ import annotations

from typing import Any

from convir.frontend import nn
from convir.ir import UnsupportedError

INPUT_SHAPE = (1, 1, 28, 28)

#: Padding of the first convolution for each input size: 28 x 28 digits grow to the 32 x 32 of 1998.
_FIRST_PADDING = {28: 2, 32: 0}


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling: (N, 1, 28, 28) or (N, 1, 32, 32) -> (N, num_classes).

    The layers' sizes are those of 1998; ReLU and max pooling stand where the original has scaled
    tanh and trainable averages, and every second-layer filter sees all six maps. With 10 classes it
    has 61,706 parameters.

    Raises:
        UnsupportedError: another input size.
    """

    def __init__(self, num_classes: int = 10, input_size: int = 28) -> None:
        if input_size not in _FIRST_PADDING:
            raise UnsupportedError(f"input_size must be 28 or 32, got {input_size!r}", "LeNet5")
        self.conv1 = nn.Conv2d(1, 6, 5, padding=_FIRST_PADDING[input_size])
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Any) -> Any:
        """(N, 1, size, size) -> (N, num_classes)"""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.flatten(x)
        x = self.relu3(self.fc1(x))
        x = self.relu4(self.fc2(x))
        return self.fc3(x)


def lenet5(num_classes: int = 10, input_size: int = 28) -> LeNet5:
    """A new LeNet-5: see :class:`LeNet5`."""
    return LeNet5(num_classes, input_size)
