"""The distinct 3x3 convolutions of two well-known networks, on images of 224 x 224."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvLayer:
    """A 3x3 convolution with padding 1, and the ReLU after it.

    Attributes:
        net: ``vgg16`` (Simonyan and Zisserman, 2015) or ``resnet18`` (He et al., 2016).
        channels: of the image.
        filters: as many channels has the result.
        size: rows and columns of the image.
        stride: in both directions.
        times: how often the network has such a layer.
    """

    net: str
    channels: int
    filters: int
    size: int
    stride: int = 1
    times: int = 1

    @property
    def name(self) -> str:
        """``vgg16:64-64-224``: channels, filters, size, and the stride where it is not 1."""
        stride = "" if self.stride == 1 else f"-s{self.stride}"
        return f"{self.net}:{self.channels}-{self.filters}-{self.size}{stride}"

    @property
    def image(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.size, self.size)

    @property
    def flops(self) -> int:
        """Of one image, 2 a MAC."""
        return 2 * 9 * self.channels * self.filters * (self.size // self.stride) ** 2


CONV_LAYERS = (
    ConvLayer("vgg16", 3, 64, 224),
    ConvLayer("vgg16", 64, 64, 224),
    ConvLayer("vgg16", 64, 128, 112),
    ConvLayer("vgg16", 128, 128, 112),
    ConvLayer("vgg16", 128, 256, 56),
    ConvLayer("vgg16", 256, 256, 56, times=2),
    ConvLayer("vgg16", 256, 512, 28),
    ConvLayer("vgg16", 512, 512, 28, times=2),
    ConvLayer("vgg16", 512, 512, 14, times=3),
    ConvLayer("resnet18", 64, 64, 56, times=4),
    ConvLayer("resnet18", 64, 128, 56, stride=2),
    ConvLayer("resnet18", 128, 128, 28, times=3),
    ConvLayer("resnet18", 128, 256, 28, stride=2),
    ConvLayer("resnet18", 256, 256, 14, times=3),
    ConvLayer("resnet18", 256, 512, 14, stride=2),
    ConvLayer("resnet18", 512, 512, 7, times=3),
)
