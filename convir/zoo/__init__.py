"""Models ready to trace, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from convir.frontend import nn
from convir.ir import LoadError
from convir.zoo import digits as _digits
from convir.zoo import lenet as _lenet
from convir.zoo import perceptron as _perceptron
from convir.zoo.digits import DigitsCNN, digits_cnn
from convir.zoo.lenet import LeNet5, lenet5
from convir.zoo.perceptron import MLP, mlp


class Entry(NamedTuple):
    """A model of the zoo: what makes a new one, and the input shape it takes unless told otherwise."""

    factory: Callable[..., nn.Module]
    input_shape: tuple[int, ...]


#: Every model by its name; add yours here.
MODELS: dict[str, Entry] = {
    "lenet5": Entry(lenet5, _lenet.INPUT_SHAPE),
    "digits_cnn": Entry(digits_cnn, _digits.INPUT_SHAPE),
    "mlp": Entry(mlp, _perceptron.INPUT_SHAPE),
}


def load(name: str, **options: Any) -> nn.Module:
    """A new model called ``name``; ``options`` go to its factory. Raises LoadError for an unknown name."""
    if name not in MODELS:
        raise LoadError(f"the zoo has no model {name!r}; it has {', '.join(MODELS)}")
    return MODELS[name].factory(**options)


__all__ = ["MLP", "MODELS", "DigitsCNN", "Entry", "LeNet5", "digits_cnn", "lenet5", "load", "mlp"]
