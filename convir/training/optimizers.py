"""Optimizers: PyTorch's update equations, in place, on arrays made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convir.ir import ConvirError, UnsupportedError

Array = NDArray[Any]

#: One step: takes the gradients by name and changes the parameters in place.
Update = Callable[[Mapping[str, Array]], None]


class Optimizer(Protocol):
    """Hyperparameters that can start a training run; what a run remembers is in the update it gets."""

    def start(self, parameters: Mapping[str, Array]) -> Update:
        """Make the state for these parameters, and the function that takes one step."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: ``g += weight_decay*p;  v = momentum*v + g;  p -= lr*v``.

    With ``nesterov``, ``p -= lr*(g + momentum*v)``. The equations are those of ``torch.optim.SGD``
    with dampening 0 (Sutskever et al. 2013, "On the importance of initialization and momentum in
    deep learning", with the learning rate outside the velocity).

    Raises:
        ConvirError: a negative value, or ``nesterov`` without momentum.
    """

    lr: float
    momentum: float = 0.0
    # By keyword only: PyTorch has dampening between the two.
    weight_decay: float = field(default=0.0, kw_only=True)
    nesterov: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_not_negative(self, "lr", "momentum", "weight_decay")
        if self.nesterov and not self.momentum:
            raise ConvirError("nesterov needs a momentum, such as momentum=0.9", "SGD")

    def start(self, parameters: Mapping[str, Array]) -> Update:
        """See :class:`Optimizer`."""
        return _together([_SGDUpdate(self, name, p) for name, p in parameters.items()])


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, "Adam: A method for stochastic optimization", algorithm 1).

    ``g += weight_decay*p;  m = b1*m + (1 - b1)*g;  v = b2*v + (1 - b2)*g*g;``
    ``p -= lr/(1 - b1^t) * m / (sqrt(v)/sqrt(1 - b2^t) + eps)`` at step t = 1, 2, ...: the equations of
    ``torch.optim.Adam``.

    Raises:
        ConvirError: a negative value, or a beta outside [0, 1).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _require_not_negative(self, "lr", "eps", "weight_decay")
        if not _are_betas(self.betas):
            raise ConvirError(f"betas are two numbers in [0, 1), got {self.betas!r}", "Adam")

    def start(self, parameters: Mapping[str, Array]) -> Update:
        """See :class:`Optimizer`."""
        return _together([_AdamUpdate(self, name, p) for name, p in parameters.items()])


def require_optimizer(given: Any) -> None:
    """Raise UnsupportedError, saying what to write, unless ``given`` is an :class:`Optimizer`."""
    if not isinstance(given, type) and callable(getattr(given, "start", None)):
        return
    kind = type(given)
    if isinstance(given, type):
        found = f"the class {given.__name__}; make an instance of it"
    elif kind.__module__.startswith("torch."):
        found = f"PyTorch's {kind.__name__}; convir's have the same equations and names of arguments"
    else:
        found = repr(given) if isinstance(given, str) else kind.__name__
    raise UnsupportedError(f"the optimizer is one such as training.Adam(lr=1e-3) or training.SGD(lr=0.1); got {found}")


class _SGDUpdate:
    """The velocity of one parameter."""

    def __init__(self, rule: SGD, name: str, parameter: Array) -> None:
        self._rule, self._name, self._parameter = rule, name, parameter
        self._lr, self._momentum = _scalar(rule.lr, parameter), _scalar(rule.momentum, parameter)
        self._decay = _scalar(rule.weight_decay, parameter)
        self._velocity = np.zeros_like(parameter) if rule.momentum else parameter
        self._work = np.empty_like(parameter)

    def __call__(self, gradients: Mapping[str, Array]) -> None:
        gradient, velocity = gradients[self._name], self._velocity
        if self._rule.weight_decay:
            gradient = _decayed(gradient, self._parameter, self._decay, self._work)
        if not self._rule.momentum:
            return self._move(gradient)
        np.multiply(velocity, self._momentum, velocity)
        np.add(velocity, gradient, velocity)
        if not self._rule.nesterov:
            return self._move(velocity)
        self._move(gradient)
        return self._move(np.multiply(velocity, self._momentum, self._work))

    def _move(self, direction: Array) -> None:
        np.multiply(direction, self._lr, self._work)
        np.subtract(self._parameter, self._work, self._parameter)


class _AdamUpdate:
    """The moments of one parameter, and how many steps it has taken."""

    def __init__(self, rule: Adam, name: str, parameter: Array) -> None:
        self._rule, self._name, self._parameter = rule, name, parameter
        self._weights = [(_scalar(beta, parameter), _scalar(1 - beta, parameter)) for beta in rule.betas]
        self._decay, self._eps = _scalar(rule.weight_decay, parameter), _scalar(rule.eps, parameter)
        self._rate, self._root = _scalar(0, parameter), _scalar(0, parameter)
        self._mean, self._square = np.zeros_like(parameter), np.zeros_like(parameter)
        self._work = np.empty_like(parameter)
        self._decayed = np.empty_like(parameter) if rule.weight_decay else parameter
        self._steps = 0

    def __call__(self, gradients: Mapping[str, Array]) -> None:
        gradient, mean, square, work = gradients[self._name], self._mean, self._square, self._work
        if self._rule.weight_decay:
            gradient = _decayed(gradient, self._parameter, self._decay, self._decayed)
        _blend(mean, gradient, self._weights[0], work)
        _blend(square, np.multiply(gradient, gradient, work), self._weights[1], work)
        self._correct_bias()
        np.sqrt(square, work)
        np.divide(work, self._root, work)
        np.add(work, self._eps, work)
        np.divide(mean, work, work)
        np.multiply(work, self._rate, work)
        np.subtract(self._parameter, work, self._parameter)

    def _correct_bias(self) -> None:
        """Set what this step divides by: the moments start at 0, so early ones are too small."""
        self._steps += 1
        first, second = (1 - beta**self._steps for beta in self._rule.betas)
        self._rate[...], self._root[...] = self._rule.lr / first, math.sqrt(second)


def _blend(mean: Array, new: Array, weights: tuple[Array, Array], work: Array) -> None:
    """``mean = beta*mean + (1 - beta)*new``; ``new`` may be ``work``."""
    beta, rest = weights
    np.multiply(mean, beta, mean)
    np.multiply(new, rest, work)
    np.add(mean, work, mean)


def _decayed(gradient: Array, parameter: Array, decay: Array, out: Array) -> Array:
    """``gradient + decay * parameter``, in ``out``."""
    np.multiply(parameter, decay, out)
    return np.add(gradient, out, out)


def _scalar(number: float, like: Array) -> Array:
    """A zero-dimensional array: passed to a ufunc, it is not converted at every step."""
    return np.array(number, like.dtype)


def _together(updates: Sequence[Update]) -> Update:
    def update(gradients: Mapping[str, Array]) -> None:
        # A gradient that has become infinite shows in the next loss, which is checked.
        with np.errstate(all="ignore"):
            for one in updates:
                one(gradients)

    return update


def _are_betas(given: object) -> bool:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        return False
    return all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in given)


def _require_not_negative(rule: object, *names: str) -> None:
    for name in names:
        value = getattr(rule, name)
        if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ConvirError(f"{name} must be a finite number, 0 or more, got {value!r}", type(rule).__name__)
