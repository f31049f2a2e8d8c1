"""A convolution and its two gradients: three problems of one shape, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from convir.passes.lower_conv.layer import ConvLayer

T = TypeVar("T")


@dataclass(frozen=True)
class Parts(Generic[T]):
    """One figure for each part of a layer, called as the values that they compute or are the gradient of.

    Attributes:
        result: of the convolution.
        image: of the gradient of its image.
        weight: of the gradient of its weight.
    """

    result: T
    image: T
    weight: T

    def computed(self, layer: ConvLayer) -> dict[str, T]:
        """Those of the parts that ``layer`` computes, by name, the result first."""
        return {"result": self.result} | {name: getattr(self, name) for name in layer.gradients}
