"""What convir does, in about a minute: LeNet-5 on real handwritten digits, from the model to the measured numbers.

python examples/tour.py [--budget SECONDS] [--epochs N]
"""

import argparse
import time

import numpy as np

import convir
from convir import data, training, zoo

BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description="A tour of convir.")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds to measure each lowering; default: 5")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    begin = time.perf_counter()
    convir.manual_seed(0)

    title("1  Trace: the model's forward becomes a graph")
    model = zoo.lenet5()
    graph = convir.trace(model, (BATCH, 1, 28, 28))
    print(graph)

    title("2  Compile: each pass makes a new graph")
    compiled = convir.compile(model, (BATCH, 1, 28, 28), conv="im2col")
    show_stages(compiled)

    title("3  The lowered forward: im2col and matmul instead of conv2d and relu")
    print(convir.compile(model, (BATCH, 1, 28, 28), inference=True).graph)

    title("4  Run it on handwritten digits, forward and backward")
    digits = data.digits().resized((28, 28))
    run(model, compiled, digits)

    title("5  Train it")
    train, test = data.train_test_split(digits, 0.2)
    print(training.fit(model, train, test, optimizer=training.Adam(lr=1e-3), epochs=args.epochs))

    title("6  Compare the loop nest with im2col")
    print(convir.compare(model, (BATCH, 1, 28, 28), time_budget=args.budget))
    print(f"\nThe tour took {time.perf_counter() - begin:.0f} s.")


def title(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}")


def show_stages(compiled: convir.Compiled) -> None:
    for stage in compiled.stages:
        ops = [node.op.name for node in stage.graph.nodes]
        counts = ", ".join(f"{ops.count(name)} {name}" for name in ("conv2d", "relu", "im2col", "matmul", "col2im"))
        print(f"{stage.name:36} {len(ops):3} nodes: {counts}")


def run(model: convir.nn.Module, compiled: convir.Compiled, digits: data.Dataset) -> None:
    x = digits.inputs[:BATCH]
    y = compiled(x)
    dy = np.full_like(y, 1 / y.size)
    grads = compiled.backward(dy)

    naive = convir.compile(model, x.shape, conv="naive")
    expected = {"output": naive(x), **naive.backward(dy)}
    print(f"{'':14} {'shape':18} relative difference from the loop nest")
    for name, result in {"output": y, **grads}.items():
        error = np.abs(result - expected[name]).max() / np.abs(expected[name]).max()
        print(f"{name:14} {result.shape!s:18} {error:.1e}")


if __name__ == "__main__":
    main()
