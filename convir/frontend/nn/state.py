"""Loading a state dict: everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convir.frontend.nn.parameter import Parameter
from convir.ir import StateDictError


class LoadResult(NamedTuple):
    """Names that a state dict lacked, and names that the model does not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_state(model: str, own: Mapping[str, Parameter], state: Mapping[str, Any], strict: bool) -> LoadResult:
    """See :meth:`convir.nn.Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise StateDictError(f"a state dict maps names to arrays, got {type(state).__name__}", model)
    missing = [name for name in own if name not in state]
    unexpected = [str(name) for name in state if name not in own]
    arrays: dict[str, NDArray[Any]] = {}
    unusable = [_read(name, parameter, state[name], arrays) for name, parameter in own.items() if name in state]
    unusable = [problem for problem in unusable if problem]
    absent = _listed("missing", missing) + _listed("unexpected", unexpected) if strict else []
    if absent or unusable:
        hint = "" if unusable else "; strict=False loads the names that agree"
        problems = "\n  ".join(absent + unusable)
        raise StateDictError(f"the state dict does not fit, nothing was loaded{hint}\n  {problems}", model)
    for name, array in arrays.items():
        own[name].data = array
    return LoadResult(missing, unexpected)


def _listed(label: str, names: list[str]) -> list[str]:
    return [f"{label}: {', '.join(names)}"] if names else []


def _read(name: str, parameter: Parameter, value: Any, arrays: dict[str, NDArray[Any]]) -> str:
    """Put the array that is to be loaded into ``arrays``, or say what is wrong with it."""
    try:
        # A copy: the state may hold the model's own arrays, in another order.
        array = np.asarray(value).copy()
    except Exception as error:
        return f"not an array: {name} is {type(value).__name__} ({error})"
    if array.shape != parameter.shape:
        return f"shape: {name} is {list(array.shape)}, the model has {list(parameter.shape)}"
    if not np.can_cast(array.dtype, parameter.data.dtype, casting="same_kind"):
        return f"element type: {name} is {array.dtype}, the model has {parameter.data.dtype}"
    arrays[name] = array
    return ""
