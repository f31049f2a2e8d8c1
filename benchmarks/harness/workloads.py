"""What is run: a model, a batch of images, and whether it is an inference or a training step."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from harness.case import Case, write_case
from harness.conv_layers import CONV_LAYERS
from harness.onnx_export import export

if TYPE_CHECKING:
    from convir import Graph


@dataclass(frozen=True)
class Workload:
    """A row of the benchmark.

    Attributes:
        family: those of a family share a panel of the plot.
        model: name in :data:`harness.models.MODELS`.
        image: (channels, height, width).
        batch: images.
        training: forward, mean cross-entropy, and the gradients of all parameters, without an update;
            otherwise forward alone.
    """

    family: str
    model: str
    image: tuple[int, int, int]
    batch: int
    training: bool = False

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return f"{self.model}-{'train' if self.training else 'infer'}-{self.batch}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (self.batch, *self.image)


_LENET, _DIGITS, _CIFAR = ("lenet5", (1, 28, 28)), ("digits810", (1, 8, 8)), ("cifar", (3, 32, 32))
WORKLOADS = (
    *(Workload("LeNet-5", *_LENET, batch) for batch in (1, 8, 64, 256, 1024)),
    Workload("LeNet-5", *_LENET, 64, training=True),
    Workload("Digits net, 810 parameters", *_DIGITS, 1),
    Workload("Digits net, 810 parameters", *_DIGITS, 32),
    Workload("Digits net, 810 parameters", *_DIGITS, 32, training=True),
    Workload("CIFAR net", *_CIFAR, 64),
    Workload("CIFAR net", *_CIFAR, 64, training=True),
)
#: The layers of well-known networks one by one, for who asks for them: ``resnet18:*``.
LAYERS = tuple(
    Workload({"vgg16": "VGG-16", "resnet18": "ResNet-18"}[layer.net], layer.name, layer.image, batch)
    for layer in CONV_LAYERS
    for batch in (1, 8)
)
#: One inference and the training steps: what ``--quick`` runs.
QUICK = ("lenet5-infer-64", "lenet5-train-64", "digits810-train-32", "cifar-infer-64")


def chosen(patterns: list[str]) -> list[Workload]:
    """The workloads whose name matches one of the patterns (``lenet5-*``); raises ValueError where none does."""
    known = (*WORKLOADS, *LAYERS)
    for pattern in patterns:
        if not any(fnmatch(workload.name, pattern) for workload in known):
            names = ", ".join(workload.name for workload in known)
            raise ValueError(f"no workload is called {pattern!r}; there are: {names}")
    # All of them are those of whole models.
    asked = WORKLOADS if list(patterns) == ["*"] else known
    return [workload for workload in asked if any(fnmatch(workload.name, pattern) for pattern in patterns)]


def prepare(workload: Workload, folder: Path, threads: int) -> int:
    """Write everything that an engine needs to ``folder``; returns the model's FLOPs of one call, 2 a MAC."""
    import numpy as np

    import convir
    from harness.layers import layers_of
    from harness.models import MODELS

    convir.manual_seed(0)
    generator = np.random.default_rng(0)
    model = MODELS[workload.model]()
    graph = convir.trace(model, workload.shape)
    images, labels = generator.standard_normal(workload.shape, np.float32), generator.integers(0, 10, workload.batch)
    weights = {name: parameter.data for name, parameter in model.named_parameters()}
    case = Case(workload.model, workload.training, threads, layers_of(graph), weights, images, labels)
    write_case(case, folder)
    if not workload.training:
        _write_onnx(graph, folder)
    return flops(workload)


def _write_onnx(graph: Graph, folder: Path) -> None:
    """Where the onnx package is missing there is no file, and the engine that wants it says so."""
    try:
        content = export(graph)
    except ModuleNotFoundError:
        return
    (folder / "model.onnx").write_bytes(content)


def flops(workload: Workload) -> int:
    """FLOPs of the model in one call: convolutions and matrix products, forward and, in training, backward."""
    import convir
    from convir.passes.differentiate import Differentiate
    from convir.passes.estimate import estimate
    from harness.models import MODELS, step_of

    model = MODELS[workload.model]()
    if not workload.training:
        return convir.estimate(model, workload.shape).flops
    step, specs, names = step_of(model, workload.shape)
    return estimate(Differentiate(tuple(names))(convir.trace(step, *specs))).flops
