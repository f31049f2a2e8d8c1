"""What each way of computing one convolution states before anything runs: operations, memory, rounding.

python examples/what_strategies_state.py [--layer 64,64,3,28] [--batch 8] [--backward] [--seen]

``--seen`` runs them, too, and says how far below its bound the rounding stays.
"""

import argparse

import numpy as np

import convir
from convir.common.table import Column, TextTable, format_bytes, format_count
from convir.ir import Graph, TensorType
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import STRATEGIES, ConvLayer, Statement, Strategy, stated
from convir.runtime import NUMPY

COLUMNS = (
    Column("strategy"),
    *(Column(name, "right") for name in ("FLOPs", "pointwise", "multiplications", "scratch", "moved", "FLOP/B")),
    Column("error at most", "right"),
)


class Fixed:
    """A weight that nobody trains."""

    requires_grad = True

    def __init__(self, data: np.ndarray) -> None:
        self.data = data


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what ways of computing a convolution state.")
    parser.add_argument("--layer", default="64,64,3,28", help="channels, filters, kernel and size of the image")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--backward", action="store_true", help="with both gradients")
    parser.add_argument("--seen", action="store_true", help="run them, and compare their rounding with the bounds")
    args = parser.parse_args()

    channels, filters, kernel, size = map(int, args.layer.split(","))
    layer = ConvLayer(
        Conv2d(padding=(kernel // 2, kernel // 2)),
        TensorType((args.batch, channels, size, size)),
        TensorType((filters, channels, kernel, kernel)),
        gradients=("image", "weight") if args.backward else (),
    )
    refusals = {each: each.refuses(layer.op, layer.image, layer.weight) for each in STRATEGIES}
    statements = {each: stated(each, layer, NUMPY) for each, reason in refusals.items() if reason is None}
    notes = [f"{each.name} {reason}." for each, reason in refusals.items() if reason is not None]
    table = TextTable(COLUMNS, [row(each) for each in statements.values()], title=str(layer), notes=notes)
    print(table.text(width=110))
    if args.seen:
        print_rounding(statements, layer)


def print_rounding(statements: dict[Strategy, Statement], layer: ConvLayer) -> None:
    print("\nRounding of random numbers, as a multiple of max|x| * max sum|w|:")
    for strategy, said in statements.items():
        if strategy.name != "naive":  # takes minutes
            seen = rounding(strategy, layer)
            print(f"{strategy.name:14} {seen:.1e}, {said.error_bound.result / seen:,.0f} times below the bound")


def row(said: Statement) -> list[str]:
    counts = (said.flops, said.cost.pointwise, said.multiplications)
    return [
        said.strategy,
        *map(format_count, counts),
        format_bytes(said.scratch_bytes),
        format_bytes(said.bytes_moved),
        f"{said.intensity:.1f}",
        f"{said.largest_error:.1e}",
    ]


def rounding(strategy: Strategy, layer: ConvLayer) -> float:
    """The largest error of a forward run in float32, over max|x| * max sum|w|."""
    rng = np.random.default_rng(0)
    count, *image = layer.image.shape
    x = rng.standard_normal((*image, count), "float32")
    weight = rng.standard_normal(layer.weight.shape, "float32")
    found = convir.compile(alone(layer, weight, "float32"), conv={"result": strategy}, wrt=())(x)
    exact = convir.compile(alone(layer, weight, "float64"), conv="im2col", wrt=())(x.astype("float64"))
    scale = np.abs(x).max() * np.abs(weight).sum((1, 2, 3)).max()
    return float(np.abs(found - exact).max() / scale)


def alone(layer: ConvLayer, weight: np.ndarray, dtype: str) -> Graph:
    """The layer as a graph, (C, H, W, N) to (O, OH, OW, N)."""
    typed = ConvLayer(layer.op, TensorType(layer.image.shape, dtype), TensorType(layer.weight.shape, dtype))
    return typed.alone({"weight": Fixed(weight.astype(dtype))})


if __name__ == "__main__":
    main()
