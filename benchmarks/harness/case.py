"""What an engine is given: layers, weights, a batch. It travels between processes as files in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Case:
    """A workload for an engine.

    Attributes:
        model: name in :data:`harness.models.MODELS`.
        training: whether loss and gradients are wanted, or the model's output.
        threads: how many an engine may use.
        layers: the model; see :class:`Layer`.
        weights: by name, in the order in which gradients are returned.
        images: float32 (N, C, H, W).
        labels: int64 (N,), classes.
        onnx: the exported model; None where there is none.
    """

    model: str
    training: bool
    threads: int
    layers: list[Layer]
    weights: dict[str, NDArray[Any]]
    images: NDArray[Any]
    labels: NDArray[Any]
    onnx: Path | None = None


def write_case(case: Case, folder: Path) -> None:
    import numpy as np

    plain = {key: getattr(case, key) for key in ("model", "training", "threads", "layers")}
    (folder / "case.json").write_text(json.dumps(plain), encoding="utf-8")
    np.savez(folder / "weights.npz", **case.weights)  # type: ignore[arg-type]
    np.savez(folder / "batch.npz", images=case.images, labels=case.labels)


def read_case(folder: Path) -> Case:
    import numpy as np

    plain = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    plain["layers"] = [Layer(kind, tuple(names), attributes) for kind, names, attributes in plain["layers"]]
    with np.load(folder / "weights.npz") as archive:
        weights = {name: archive[name] for name in archive.files}
    with np.load(folder / "batch.npz") as archive:
        batch = {name: archive[name] for name in archive.files}
    onnx = folder / "model.onnx"
    return Case(**plain, weights=weights, **batch, onnx=onnx if onnx.exists() else None)
