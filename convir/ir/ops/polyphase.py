"""Polyphase components: images divided by their stride, so that what a kernel tap sees is one run of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_rank
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


class Tap(NamedTuple):
    """Kernel tap (k, l), and the row and column of the components that it sees at the first window."""

    k: int
    l: int  # noqa: E741
    row: int
    column: int


@dataclass(frozen=True)
class PolyphaseOp(Op):
    """What convolutions of polyphase components, and their gradients, share.

    With stride S every window begins at a row that is a multiple of S, so a tap sees one of S classes of rows, those
    with one remainder; likewise columns. Component (p, q) of an image is ``x[:, p::SH, q::SW]`` (Vaidyanathan,
    *Multirate Systems and Filter Banks*, 1993, section 4.3, the polyphase representation). An image
    (C, SH*H, SW*W, N) is stored as its components one below the other, (C, SH*SW*H, W, N), component (p, q) from row
    ``(p*SW + q)*H`` on. With stride 1 that is the image. What a tap sees of one channel at the windows of consecutive
    rows is then a shifted run of memory, but for ends of rows that no window sees.

    H and W are just large enough for the windows: ``OH + (KH-1)*D // SH`` rows.
    """

    kind = "convolution"
    stride: Pair = (1, 1)
    dilation: Pair = quiet((1, 1))

    def check(self) -> None:
        require_pair("stride", self.stride, 1)
        require_pair("dilation", self.dilation, 1)

    def reach(self, kernel: Pair) -> Pair:
        """How many rows and columns of its component the last tap sees lie behind the window's place."""
        rows, columns = ((kernel[axis] - 1) * self.dilation[axis] // self.stride[axis] for axis in (0, 1))
        return rows, columns

    def component_size(self, image: TensorType) -> Pair:
        """H and W of the components of which ``image`` is made."""
        require_rank("input", image, 4, "(C, SH*SW*H, W, N)")
        components = self.stride[0] * self.stride[1]
        if image.shape[1] % components:
            raise ShapeError(f"the rows of {image} are not those of {components} components of stride {self.stride}")
        return image.shape[1] // components, image.shape[2]

    def output_size(self, image: TensorType, kernel: Pair) -> Pair:
        """Window positions over an image in components."""
        size, reach = self.component_size(image), self.reach(kernel)
        rows, columns = (size[axis] - reach[axis] for axis in (0, 1))
        if rows < 1 or columns < 1:
            raise ShapeError(f"a kernel {kernel} of dilation {self.dilation} has no place in components {size}")
        return rows, columns

    def image(self, channels: int, grad: TensorType, kernel: Pair) -> TensorType:
        """Type of the image of which a result, or its gradient, (O, OH, OW, N) is made."""
        reach = self.reach(kernel)
        rows, columns = (grad.shape[1 + axis] + reach[axis] for axis in (0, 1))
        return grad.with_shape((channels, self.stride[0] * self.stride[1] * rows, columns, grad.shape[3]))

    def taps(self, kernel: Pair, rows: int) -> Iterator[Tap]:
        """Every kernel tap, in order, with where it begins in components of ``rows`` rows."""
        for k, l in product(range(kernel[0]), range(kernel[1])):  # noqa: E741
            (down, phase), (across, side) = (
                divmod(tap * self.dilation[axis], self.stride[axis]) for axis, tap in enumerate((k, l))
            )
            yield Tap(k, l, (phase * self.stride[1] + side) * rows + down, across)
