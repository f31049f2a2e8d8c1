"""Nets with poolings behind what is not a convolution, and with strides larger than the image."""

from __future__ import annotations

from convir import nn

F = nn.functional


class PooledNet(nn.Module):
    """A convolution, and what a function makes of it."""

    def __init__(self, after) -> None:
        self.conv, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.after = after

    def forward(self, x):
        return self.after(self, x)


def silu(net, x):
    h = net.conv(x)
    return F.max_pool2d(h * F.sigmoid(h), 2)


#: What the net makes of its input.
POOLED = {
    "after a sum, max": lambda net, x: F.max_pool2d(x + x * x, 2),
    "after a sum, average": lambda net, x: F.avg_pool2d(x + x * x, 2),
    "after a product": lambda net, x: F.avg_pool2d(F.sigmoid(net.conv(x)) * F.sigmoid(net.other(x)), 2),
    "after a gate": silu,
    "after a pooling, max": lambda net, x: F.max_pool2d(F.max_pool2d(net.conv(x), 3, 2), 2),
    "after a pooling, average": lambda net, x: F.avg_pool2d(F.avg_pool2d(net.conv(x), 3, 2), 2),
    "stride above the height, max": lambda net, x: F.max_pool2d(net.conv(x), 3, stride=13),
    "stride above the height, average": lambda net, x: F.avg_pool2d(net.conv(x), 3, stride=14),
    "stride above the window": lambda net, x: F.max_pool2d(net.conv(x), 2, stride=3),
    "stride of the whole width": lambda net, x: F.max_pool2d(net.conv(x), (1, 2), stride=(1, 11)),
    "rows left over": lambda net, x: F.max_pool2d(net.conv(x), (2, 3)),
    "a row of windows": lambda net, x: F.max_pool2d(net.conv(x), (12, 2)),
}
