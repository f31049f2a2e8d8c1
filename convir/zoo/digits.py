"""A small convolutional network for the 8 x 8 digits that come with convir."""

from __future__ import annotations

from typing import Any

from convir.frontend import nn

INPUT_SHAPE = (1, 1, 8, 8)


class DigitsCNN(nn.Module):
    """Three convolutions and a linear layer: (N, 1, 8, 8) -> (N, num_classes); 25,866 parameters for 10 classes.

    Two convolutions come before the first pooling: at 8 x 8 pixels, pooling earlier costs a
    percent of accuracy. After 10 epochs of ``Adam(2e-3)`` in batches of 32 it classifies 98 to 99% of
    the digits it has not seen.
    """

    def __init__(self, num_classes: int = 10) -> None:
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64 * 2 * 2, num_classes)

    def forward(self, x: Any) -> Any:
        """(N, 1, 8, 8) -> (N, num_classes)"""
        x = self.relu1(self.conv1(x))
        x = self.pool1(self.relu2(self.conv2(x)))
        x = self.pool2(self.relu3(self.conv3(x)))
        return self.fc(self.flatten(x))


def digits_cnn(num_classes: int = 10) -> DigitsCNN:
    """A new network for 8 x 8 digits: see :class:`DigitsCNN`."""
    return DigitsCNN(num_classes)
