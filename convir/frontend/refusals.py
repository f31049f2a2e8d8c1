"""What Python and NumPy may ask of a number or an array, and a symbolic tensor cannot answer: it has no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from convir.frontend.recording import active, place
from convir.ir import TraceError

_NO_VALUE = "needs the tensor's value, and a traced tensor has only a shape; "
_COMPARE = _NO_VALUE + (
    "a graph holds no comparisons or branches: branch on x.shape, on a Python number or on self.training, or compute "
    "with arithmetic (relu(x - t) is what exceeds t)"
)
_NUMBER = _NO_VALUE + (
    "keep it a tensor (arithmetic works on a 0-d tensor too), or return it from forward and read it from the result "
    "of convir.compile(model, shape)(x)"
)
_ARRAY = _NO_VALUE + (
    "use the tensor's own methods (x.exp(), x.mean(1), a @ b, nn.functional), or return it from forward and use NumPy "
    "on the result of convir.compile(model, shape)(x)"
)
_ITERATE = (
    "a traced tensor cannot be iterated or unpacked; work on the whole tensor at once, or loop over "
    "range(x.shape[0]) or over modules (x.max(dim) returns the values alone: there is nothing to unpack)"
)
_INDEX = (
    "a traced tensor cannot be indexed; use reshape, flatten, permute or a reduction, or slice the array before it "
    "goes in (a shape can be indexed: x.shape[0]; x.max(dim) returns the values alone)"
)
_ASSIGN = "a tensor in a graph never changes; compute a new one, for instance y = x * mask + other * (1 - mask)"

#: What to write for NumPy's functions of the same meaning.
_METHODS = {
    "negative": "-x",
    "exp": "x.exp()",
    "log": "x.log()",
    "sqrt": "x.sqrt()",
    "tanh": "x.tanh()",
    "maximum": "nn.functional.relu(x), which is max(x, 0)",
    "power": "x * x",
    "square": "x * x",
    "sum": "x.sum(dim)",
    "mean": "x.mean(dim)",
    "max": "x.max(dim)",
    "amax": "x.amax(dim)",
    "reshape": "x.reshape(shape)",
    "ravel": "x.flatten()",
    "transpose": "x.permute(axes)",
    "squeeze": "x.squeeze(dim)",
    "expand_dims": "x.unsqueeze(dim)",
    "dot": "a @ b",
    "shape": "x.shape",
}


class NeedsNumberError(TraceError):
    """A layer was given a traced tensor where it takes a number."""


def refuse(what: str, reason: str) -> NoReturn:
    """Raise the TraceError for ``what``, with the place, the reason and what to write instead."""
    raise TraceError(reason, place(what))


def _refusing(what: str, reason: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        refuse(what, reason)

    return method


def _arithmetic(operator: str) -> Callable[..., Any]:
    """``array <operator> tensor``, which NumPy hands to the tensor as a ufunc call."""
    reflected, direct = f"__r{operator}__", f"__{operator}__"

    def call(a: Any, b: Any) -> Any:
        return getattr(a, direct)(b) if isinstance(a, NoValue) else getattr(b, reflected)(a)

    return call


_OPERATORS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: _arithmetic("add"),
    np.subtract: _arithmetic("sub"),
    np.multiply: _arithmetic("mul"),
    np.true_divide: _arithmetic("truediv"),
    np.matmul: _arithmetic("matmul"),
}


class NoValue:
    """Refuses whatever would need the elements, naming the user's line and what to write instead."""

    __bool__ = _refusing("bool(x)", _COMPARE)
    __lt__ = _refusing("x < y", _COMPARE)
    __le__ = _refusing("x <= y", _COMPARE)
    __gt__ = _refusing("x > y", _COMPARE)
    __ge__ = _refusing("x >= y", _COMPARE)
    __contains__ = _refusing("y in x", _COMPARE)

    __float__ = _refusing("float(x)", _NUMBER)
    __int__ = _refusing("int(x)", _NUMBER)
    __index__ = _refusing("int(x)", _NUMBER)
    __complex__ = _refusing("complex(x)", _NUMBER)
    __round__ = _refusing("round(x)", _NUMBER)
    item = _refusing("x.item()", _NUMBER)

    tolist = _refusing("x.tolist()", _NUMBER)
    numpy = _refusing("x.numpy()", _ARRAY)
    __array__ = _refusing("np.asarray(x)", _ARRAY)

    __iter__ = _refusing("iterating over x", _ITERATE)
    __getitem__ = _refusing("x[...]", _INDEX)
    __setitem__ = _refusing("x[...] = y", _ASSIGN)
    __delitem__ = _refusing("del x[...]", _ASSIGN)

    def __eq__(self, other: object) -> bool:
        # None is a fair question; and outside a trace a Parameter is an object like any other.
        if other is None:
            return False
        if active() is None:
            return NotImplemented
        refuse("x == y", _COMPARE)

    def __hash__(self) -> int:
        return id(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operator = _OPERATORS.get(ufunc)
        if operator is not None and method == "__call__" and not kwargs:
            return operator(*inputs)
        if kwargs.get("out"):
            refuse(f"np.{ufunc.__name__} into an array", _ASSIGN)
        refuse(f"np.{ufunc.__name__}(x)", _instead_of(ufunc.__name__))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        refuse(f"np.{function.__name__}(x)", _instead_of(function.__name__))


def _instead_of(name: str) -> str:
    return f"{_NO_VALUE}write {_METHODS[name]}" if name in _METHODS else _ARRAY
