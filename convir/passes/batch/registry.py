"""The one table of batch rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convir.ir import ConvirError, Op, TensorType, UnsupportedError
from convir.passes.batch.roles import PerSample, Role, resized

Types = tuple[TensorType, ...]
Roles = tuple[Role, ...]

#: ``rule(op, operand roles, operand types, result types) -> result roles``; raises UnsupportedError with the reason
#: where the results are none of the roles. The types are those of the whole batch.
BatchRule = Callable[[Any, Roles, Types, Types], Roles]

#: Op class -> its rule. The class itself and not its base: a new op says how it treats samples, or is refused.
RULES: dict[type[Op], BatchRule] = {}

#: Ops that no tile can compute, and why.
NOT_TILED: dict[type[Op], str] = {}


def batch_rule(*op_classes: type[Op]) -> Callable[[BatchRule], BatchRule]:
    """Register the decorated function as the batch rule of these op classes.

    Raises:
        ValueError: one of them has a rule already.
    """

    def register(rule: BatchRule) -> BatchRule:
        for op_class in op_classes:
            if op_class in RULES:
                raise ValueError(f"{op_class.__name__} has two batch rules")
            RULES[op_class] = rule
        return rule

    return register


def not_tiled(reason: str, *op_classes: type[Op]) -> None:
    """Declare that no tile can compute these op classes, and why."""
    NOT_TILED.update(dict.fromkeys(op_classes, reason))


def roles_of(op: Op, roles: Roles, operands: Types, results: Types, batch: int) -> Roles:
    """What the results of ``op`` are, from what its operands are; types are those of the whole batch.

    Raises:
        UnsupportedError: tiles cannot compute them; the message is the reason.
    """
    rule = RULES.get(type(op))
    if rule is None:
        raise UnsupportedError(NOT_TILED.get(type(op), "no batch rule is registered for it"))
    found = rule(op, roles, operands, results)
    if any(isinstance(role, PerSample) for role in roles):
        # One sample, which also broadcasts; and a size that nothing else has by chance, which does not.
        for samples in (1, batch + 1):
            _require_fit(op, _resized(operands, roles, samples), _resized(results, found, samples), samples)
    return found


def _resized(types: Types, roles: Roles, samples: int) -> Types:
    return tuple(resized(type, role, samples) for type, role in zip(types, roles, strict=True))


def _require_fit(op: Op, operands: Types, expected: Types, samples: int) -> None:
    """Raise UnsupportedError unless the shape rule agrees for a batch of ``samples``."""
    wanted = ", ".join(map(str, expected))
    try:
        found = op.infer(*operands)
    except ConvirError as error:
        raise UnsupportedError(f"it should make {wanted} of {_samples(samples)}, but {error.message}") from None
    if found != expected:
        raise UnsupportedError(
            f"it should make {wanted} of {_samples(samples)}, but makes {', '.join(map(str, found))}"
        )


def _samples(number: int) -> str:
    return "1 sample" if number == 1 else f"{number} samples"
