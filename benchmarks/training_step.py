"""A training step of LeNet-5: convir beside PyTorch eager, interleaved in one run.

A step is forward, cross-entropy, backward and an SGD update with momentum, on one batch of 28 x 28
images. Both sides start from the same weights, see the same batch and use the same number of threads.

    pip install -e ".[peers]"
    python benchmarks/training_step.py [--batch 64] [--rounds 200] [--threads N] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from harness.threads import set_threads, usable_cpus
from harness.timing import interleaved, quartiles, ratios

LR, MOMENTUM = 0.01, 0.9
WARM_UP = 10


def convir_step(batch: int, images: Any, labels: Any) -> tuple[Callable[[], float], dict[str, Any]]:
    """A callable that takes a step, and the weights that it starts from."""
    import convir
    from convir import training, zoo

    model = zoo.lenet5()
    weights = model.state_dict()
    target_type = convir.TensorType((batch,), "int64")
    step = training.Step(model, "cross_entropy", training.SGD(LR, MOMENTUM), images.shape, target_type)
    return lambda: step(images, labels), weights


def torch_step(weights: dict[str, Any], images: Any, labels: Any) -> Callable[[], float]:
    """The same step in PyTorch eager, from the same weights."""
    import torch
    from torch import nn

    class LeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.max_pool2d(nn.functional.relu(self.conv1(x)), 2)
            x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
            x = nn.functional.relu(self.fc1(x.flatten(1)))
            logits: torch.Tensor = self.fc3(nn.functional.relu(self.fc2(x)))
            return logits

    model = LeNet5()
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    optimizer = torch.optim.SGD(model.parameters(), LR, MOMENTUM)
    x, target = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        value: float = loss.item()
        return value

    return step


def arrays_allocated(step: Callable[[], float], repeats: int = 10) -> dict[str, int]:
    """The most bytes that a step holds beyond what was there before it, and those that stay after ten."""
    step()
    tracemalloc.start()
    step()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(repeats):
        step()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"peak_bytes_per_step": peak - before, "bytes_kept": after - before}


def measured(batch: int, rounds: int, threads: int) -> dict[str, Any]:
    """The whole benchmark as plain types."""
    import numpy as np
    import torch

    import convir

    torch.set_num_threads(threads)
    convir.manual_seed(0)
    generator = np.random.default_rng(0)
    images = generator.random((batch, 1, 28, 28), np.float32)
    labels = generator.integers(0, 10, batch)
    ours, weights = convir_step(batch, images, labels)
    theirs = torch_step(weights, images, labels)
    losses = [[ours(), theirs()] for _ in range(WARM_UP)]
    our_seconds, their_seconds = interleaved([ours, theirs], rounds)
    return {
        "schema": "convir.benchmark.training_step/1",
        "batch": batch,
        "rounds": rounds,
        "threads": threads,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "seconds": {"convir": quartiles(our_seconds), "torch": quartiles(their_seconds)},
        "torch_over_convir": quartiles(ratios(their_seconds, our_seconds)),
        "loss_difference": float(np.abs(np.diff(losses)).max()),
        "convir_memory": arrays_allocated(ours),
    }


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    from convir.common.table import Column, TextTable, format_bytes, format_seconds

    rows = [[name, *map(format_seconds, values)] for name, values in result["seconds"].items()]
    rows.append(["torch / convir", *(f"{value:.2f}" for value in result["torch_over_convir"])])
    memory = result["convir_memory"]
    return TextTable(
        [Column("step"), Column("25 %", "right"), Column("median", "right"), Column("75 %", "right")],
        rows,
        title=f"LeNet-5 training step, batch {result['batch']}, {result['threads']} threads, {result['rounds']} rounds",
        notes=[
            f"torch {result['torch']} (eager), numpy {result['numpy']}. The ratio is taken round by round.",
            f"Over the first {WARM_UP} steps the losses differ by {result['loss_difference']:.1e} at most.",
            f"A convir step allocates {format_bytes(memory['peak_bytes_per_step'])} at most besides its arena; "
            f"{format_bytes(memory['bytes_kept'])} stay after ten.",
        ],
    ).text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    # BLAS reads these once, when NumPy is imported; that is why the imports stand inside functions.
    set_threads(options.threads)
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("this benchmark compares with PyTorch, which is not installed: pip install -e '.[peers]'")
    result = measured(options.batch, options.rounds, options.threads)
    print(json.dumps(result, indent=2) if options.json else report(result))


if __name__ == "__main__":
    main()
