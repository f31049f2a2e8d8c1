"""The convolutions that every lowering strategy has to get right."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from convir.ir import Builder, Graph, TensorType
from convir.ir.ops import Conv2d, extent

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvCase:
    """One convolution, small enough for the explicit loops."""

    batch: int = 2
    channels: int = 2
    size: Pair = (5, 6)
    filters: int = 3
    kernel: Pair = (3, 2)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    activation: str | None = None

    @property
    def op(self) -> Conv2d:
        return Conv2d(self.stride, self.padding, self.dilation, self.groups, self.activation)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the operands by name."""
        weight = (self.filters, self.channels // self.groups, *self.kernel)
        operands = {"x": (self.batch, self.channels, *self.size), "w": weight}
        return {**operands, "b": (self.filters,)} if self.bias else operands

    def graph(self, dtype: str) -> Graph:
        """A graph of this convolution alone."""
        builder = Builder("conv")
        operands = [builder.input(name, TensorType(shape, dtype)) for name, shape in self.shapes.items()]
        return builder.finish([builder.emit(self.op, *operands, name="y")], {})


CONV_CASES = {
    "plain": ConvCase(),
    "no bias": ConvCase(bias=False),
    "batch 1": ConvCase(batch=1),
    "one channel, one filter": ConvCase(channels=1, filters=1),
    "odd sizes": ConvCase(size=(7, 5), kernel=(3, 3)),
    "wide": ConvCase(size=(3, 9), kernel=(1, 4)),
    "tall": ConvCase(size=(9, 3), kernel=(4, 1)),
    "kernel is the input": ConvCase(size=(4, 3), kernel=(4, 3)),
    "kernel is the padded input": ConvCase(size=(3, 2), kernel=(5, 4), padding=(1, 1)),
    "stride": ConvCase(size=(7, 8), stride=(2, 3)),
    "stride leaves rows over": ConvCase(size=(8, 8), kernel=(3, 3), stride=(3, 4)),
    "stride over the kernel": ConvCase(size=(7, 7), kernel=(1, 2), stride=(3, 3)),
    "padding": ConvCase(padding=(2, 1)),
    "padding over the kernel": ConvCase(kernel=(2, 2), padding=(3, 3)),
    "dilation": ConvCase(size=(7, 8), dilation=(2, 3)),
    "stride, padding and dilation": ConvCase(size=(6, 9), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    "groups": ConvCase(channels=4, filters=6, groups=2),
    "groups, stride, padding": ConvCase(channels=4, filters=4, groups=2, stride=(2, 2), padding=(1, 1)),
    "depthwise": ConvCase(channels=3, filters=3, groups=3, kernel=(3, 3), padding=(1, 1)),
    "depthwise, two filters a channel": ConvCase(channels=3, filters=6, groups=3),
    "1x1": ConvCase(kernel=(1, 1)),
    "1x1, batch 1": ConvCase(batch=1, kernel=(1, 1)),
    "1x1 with padding": ConvCase(kernel=(1, 1), padding=(1, 2)),
    "1x1 with stride": ConvCase(kernel=(1, 1), stride=(2, 2), size=(6, 6)),
    "1x1 with dilation": ConvCase(kernel=(1, 1), dilation=(3, 2)),
    "1x1 groups": ConvCase(channels=4, filters=4, groups=2, kernel=(1, 1)),
    "1x1 depthwise with padding": ConvCase(channels=3, filters=3, groups=3, kernel=(1, 1), padding=(1, 0)),
    "1x1 input": ConvCase(size=(1, 1), kernel=(1, 1)),
    "1x1 input, 3x3 kernel": ConvCase(size=(1, 1), kernel=(3, 3), padding=(1, 1)),
    "relu": ConvCase(activation="relu"),
    "sigmoid, no bias": ConvCase(activation="sigmoid", bias=False),
    "tanh, groups": ConvCase(activation="tanh", channels=4, filters=2, groups=2),
}


@st.composite
def conv_cases(draw: st.DrawFn) -> ConvCase:
    """Any valid small convolution."""
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    least = [max(1, extent(kernel[i], dilation[i]) - 2 * padding[i]) for i in (0, 1)]
    return ConvCase(
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.integers(1, 2)),
        size=(least[0] + draw(st.integers(0, 3)), least[1] + draw(st.integers(0, 3))),
        filters=groups * draw(st.integers(1, 2)),
        kernel=kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        activation=draw(st.sampled_from([None, "relu", "sigmoid", "tanh"])),
    )
