"""What was compiled of a model, and for which calls it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from convir.frontend import trace
from convir.ir import ConvirError, Graph, TensorType
from convir.passes.infer_shapes import InferShapes
from convir.passes.manager import Pass
from convir.specialisation import Specialisation
from convir.tiling import Division, Target
from convir.watch import Watch

Array = NDArray[Any]

#: Specialisations to other input shapes that a compiled model keeps; the least recently used goes first.
KEPT_SPECIALISATIONS = 8


class Specialisations:
    """The specialisations of a model by input shapes and training flags, one of which is the current one.

    Args:
        model: a module, a function of tensors, or a traced graph.
        passes: the pipeline.
        target: what programs are compiled for.
        division: what is compiled already, and is the current one.
        watch: of the model as it was when ``division`` was traced.
    """

    def __init__(self, model: Any, passes: Sequence[Pass], target: Target, division: Division, watch: Watch) -> None:
        self._model, self._passes, self._target = model, passes, target
        self._kept: OrderedDict[Any, Specialisation] = OrderedDict()
        self.watch = watch
        self.current = self._keep((*(value.type.shape for value in division.model.inputs), watch.flags), division)

    def __len__(self) -> int:
        return len(self._kept)

    def select(self, inputs: Sequence[Any]) -> Sequence[Array]:
        """Make the one for these inputs, and the model as it is, the current one; returns the inputs as arrays.

        An error leaves the current one as it is.

        Raises:
            ShapeError, DTypeError: the inputs do not fit the model.
        """
        if self.current.inputs.fit(inputs) and not self.watch.has_changed:
            return inputs
        arrays = self.current.inputs.of_rank(inputs)
        if self.watch.is_outdated:
            self._kept.clear()
        watch = self.watch.renewed()
        key = (*[array.shape for array in arrays], watch.flags)
        if key not in self._kept:
            self._keep(key, self._target.divide(self._traced(arrays), self._passes))
        self._kept.move_to_end(key)
        self.current, self.watch = self._kept[key], watch
        return arrays

    def _keep(self, key: tuple[Any, ...], division: Division) -> Specialisation:
        made = self._kept[key] = Specialisation(division, self._passes)
        if len(self._kept) > KEPT_SPECIALISATIONS:
            self._kept.popitem(last=False)
        return made

    def _traced(self, arrays: Sequence[Array]) -> Graph:
        """The model traced again (so that Python code sees the new shapes), or the graph with its shape rules run."""
        self.watch.require_traceable()
        declared = self.current.division.model.inputs
        types = [_type_of(array, f"input {value.name}") for array, value in zip(arrays, declared, strict=True)]
        if isinstance(self._model, Graph):
            names = (value.name for value in self._model.inputs)
            return InferShapes(dict(zip(names, types, strict=True)))(self._model)
        return trace(self._model, *types)


def _type_of(array: Array, label: str) -> TensorType:
    try:
        return TensorType(array.shape, array.dtype.name)
    except ConvirError as error:
        raise error.located(label) from None
