"""Names that PyTorch has and convir has not: an error that says so, what there is, and what comes nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from convir.frontend.recording import place
from convir.ir import MissingError, UnsupportedError

_NO_DEVICES = "everything runs on the CPU: leave the device out"
_TO = "model.double() and model.float() convert the parameters, array.astype() what goes in"
_SOFTMAX = (
    "write e = (x - x.max(dim, keepdim=True)).exp(), then e / e.sum(dim, keepdim=True); "
    "nn.functional.cross_entropy takes logits, without a softmax before it"
)
_AFTERWARDS = "return the tensor from forward: what convir.compile(model, shape)(x) returns is a NumPy array"
_BACKWARD = "compiled = convir.compile(model, shape); after compiled(x), compiled.backward(dy) returns the gradients"

#: For layers, functions and methods. A name stands for all its spellings: LeakyReLU, leaky_relu and leaky_relu_.
_INSTEAD = {
    "abs": "write x.relu() + (-x).relu()",
    "adaptiveavgpool": "write x.mean((2, 3), keepdim=True) for one row and column, avg_pool2d for more",
    "adaptivemaxpool": "write x.amax((2, 3), keepdim=True) for one row and column, max_pool2d for more",
    "argmax": _AFTERWARDS,
    "backward": _BACKWARD,
    "batchnorm": "for inference, fold a trained one into the convolution before it: weight * gamma / sqrt(var + eps)",
    "bmm": "write a @ b",
    "clamp": "write (x - low).relu() + low for a minimum, high - (high - x).relu() for a maximum",
    "clone": "use x itself: a tensor in a graph never changes",
    "cpu": _NO_DEVICES,
    "crossentropyloss": "use nn.functional.cross_entropy, or training.fit(loss='cross_entropy')",
    "cuda": _NO_DEVICES,
    "detach": _AFTERWARDS,
    "device": _NO_DEVICES,
    "double": _TO,
    "float": _TO,
    "grad": _BACKWARD,
    "leakyrelu": "write x.relu() - slope * (-x).relu()",
    "logsoftmax": _SOFTMAX,
    "min": "write -(-x).amax(dim)",
    "amin": "write -(-x).amax(dim)",
    "mm": "write a @ b",
    "moduledict": "use attributes, or nn.Sequential of a dict",
    "mseloss": "use nn.functional.mse_loss, or training.fit(loss='mse')",
    "nllloss": "use nn.functional.cross_entropy, which takes logits",
    "pow": "write x ** 2, x ** 0.5 or a product; (x.log() * p).exp() for x > 0",
    "softmax": _SOFTMAX,
    "square": "write x * x",
    "std": "write ((x - x.mean(dim, keepdim=True)) ** 2).mean(dim).sqrt(), which divides by n",
    "to": f"{_NO_DEVICES}; {_TO}",
    "var": "write ((x - x.mean(dim, keepdim=True)) ** 2).mean(dim), which divides by n",
}

_NO_BUFFERS = "an array in an attribute (self.mean = np.asarray(...)) is a constant, outside of the state dict"

#: For methods of a module.
_OF_MODULES = {
    "bfloat16": "parameters are float32 or float64",
    "buffers": _NO_BUFFERS,
    "cpu": _NO_DEVICES,
    "cuda": _NO_DEVICES,
    "half": "parameters are float32 or float64",
    "named_buffers": _NO_BUFFERS,
    "register_buffer": _NO_BUFFERS,
    "register_module": "set an attribute, or call add_module(name, module)",
    "register_parameter": "set an attribute: self.scale = nn.Parameter(array)",
    "zero_grad": "leave it out: compiled.backward(dy) returns new gradients, which never add up",
}

_DEVICES = frozenset({"cpu", "cuda", "gpu", "mps", "xpu", "meta"})


def absent(owner: str, name: str, there: Iterable[str]) -> AttributeError:
    """The error for a name that ``owner`` (``x``, ``nn``) does not have; ``there`` is what it has."""
    if name.startswith("_"):
        return AttributeError(f"{owner} has no attribute {name!r}", name=name)
    names = sorted(there)
    advice = _INSTEAD.get(name.replace("_", "").lower().removesuffix("2d"), "")
    near = [] if advice else get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]}?" if near else advice
    parts = ["is not in convir (yet)", *([advice] if advice else []), f"{owner} has {', '.join(names)}"]
    return MissingError("; ".join(parts), place(f"{owner}.{name}"))


def absent_from(module: str, there: Iterable[str]) -> Callable[[str], NoReturn]:
    """A module's ``__getattr__``, for a module called ``module`` with the names ``there``."""

    def __getattr__(name: str) -> NoReturn:  # noqa: N807
        raise absent(module, name, there)

    return __getattr__


def refuse_module_method(owner: str, name: str) -> None:
    """Raise MissingError if ``name`` is a method that PyTorch's modules have and convir's have not."""
    if name in _OF_MODULES:
        raise MissingError(f"is not in convir; {_OF_MODULES[name]}", place(f"{owner}.{name}"))


def refuse_device(what: str, device: Any) -> None:
    """Raise UnsupportedError for ``device=...``; None is fine."""
    if device is not None:
        raise UnsupportedError(f"there is no device to choose, got {str(device)!r}; {_NO_DEVICES}", place(what))


def is_device(value: object) -> bool:
    """Whether this is a device as PyTorch writes it: ``"cuda:0"``, or a ``torch.device``."""
    return str(value).partition(":")[0] in _DEVICES
