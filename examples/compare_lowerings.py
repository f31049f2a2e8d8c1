"""The loop nest and im2col on one convolution, 3 -> 32 channels, 5 x 5, on 32 x 32 images: predicted and measured.

python examples/compare_lowerings.py [--batch 1] [--size 32] [--plot FILE]
"""

import argparse

import convir
from convir import nn

CHANNELS, FILTERS, KERNEL = 3, 32, 5


class Layer(nn.Module):
    """The layer to compare on."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(CHANNELS, FILTERS, KERNEL)

    def forward(self, x):
        return nn.functional.relu(self.conv(x))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two ways of lowering a convolution.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images; default: 32")
    parser.add_argument("--plot", metavar="FILE", help="draw the comparison: .svg, .png or .pdf")
    args = parser.parse_args()

    convir.manual_seed(0)
    shape = (args.batch, CHANNELS, args.size, args.size)
    comparison = convir.compare(Layer(), shape, lowerings=["naive", "im2col"])
    print(comparison, end="\n\n")

    side = args.size - KERNEL + 1
    formula = CHANNELS * KERNEL * KERNEL * args.batch * side * side * 4
    im2col = comparison.totals[1]
    print(f"The patch matrix: C*KH*KW * N*OH*OW * 4 bytes = {formula:,} bytes; planned: {im2col.scratch['im2col']:,}.")
    if im2col.flops is not None:
        print(f"{im2col.flops / im2col.seconds / 1e9:.1f} GFLOP/s with im2col.")
    if args.plot:
        print(f"Plot: {comparison.plot(args.plot)}")


if __name__ == "__main__":
    main()
