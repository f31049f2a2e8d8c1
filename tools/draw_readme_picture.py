"""Draw the picture in the README: the first block of LeNet-5 after lowering."""

from pathlib import Path

import convir
from convir import nn

TARGET = Path(__file__).parent.parent / "docs" / "images" / "lowered.svg"


class Block(nn.Module):
    """The first block of LeNet-5."""

    def __init__(self) -> None:
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)

    def forward(self, x):
        """(N, 1, 28, 28) -> (N, 6, 14, 14)"""
        return self.pool1(self.relu1(self.conv1(x)))


if __name__ == "__main__":
    compiled = convir.compile(Block(), (64, 1, 28, 28), wrt=())
    print(compiled.graph.render(TARGET))
