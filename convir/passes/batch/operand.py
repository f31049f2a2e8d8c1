"""Where the axes of an op's operands go, and what the roles of operands make together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from convir.ir import Op, Shape, TensorType, UnsupportedError
from convir.passes.batch.registry import Roles, Types
from convir.passes.batch.roles import PartialMean, PartialSum, PerSample, Role, Whole, is_partial

#: An axis that the op sums over, together with all other operands' summed axes.
SUMMED = -1
#: An axis across which the op computes anything else.
MIXED = -2

#: For each axis of an operand the axis of the result that it becomes, slice by slice; or SUMMED or MIXED.
Destinations = tuple[int, ...]


class Operand(NamedTuple):
    """One operand of a node: its name in the op's signature, role, shape, and where its axes go."""

    label: str
    role: Role
    shape: Shape
    to: Destinations


def operands_of(op: Op, roles: Roles, types: Types, *to: Destinations) -> list[Operand]:
    """The operands of a node; ``to`` has an entry for each operand that the op may have."""
    labels = (label.rstrip("?") for label in op.operand_names)
    shapes = (type.shape for type in types)
    return [Operand(*each) for each in zip(labels, roles, shapes, to, strict=False)]


def aligned(rank: int, result_rank: int) -> Destinations:
    """Where the axes go by NumPy's broadcasting: aligned at the right."""
    return tuple(range(result_rank - rank, result_rank))


def unmoved(op: Op, roles: Roles, types: Types, *, mixed: Sequence[int] = ()) -> list[Operand]:
    """The operands of an op whose axes stay where they are, but for those across which it mixes."""
    to = (tuple(MIXED if axis in mixed else axis for axis in range(type.rank)) for type in types)
    return operands_of(op, roles, types, *to)


def joined(*operands: Operand, summed: Role | None = None) -> Role:
    """What any function makes of these operands; ``summed`` (a sum if not said) where their batch axes are SUMMED.

    Raises:
        UnsupportedError: an operand is a sum or mean over the batch, or the samples meet each other.
    """
    for operand in operands:
        if is_partial(operand.role):
            raise UnsupportedError(
                f"the model computes on from its operand {operand.label}, {operand.role}, "
                "which is known only after the last tile"
            )
    destination = _common_destination(operands)
    if destination is None:
        return Whole()
    return (summed or PartialSum()) if destination == SUMMED else PerSample(destination)


def scaled(operand: Operand, *others: Operand, summed: Role | None = None) -> Role:
    """What a function that is linear in the first operand makes; see :func:`joined`."""
    if is_partial(operand.role) and all(other.role == Whole() for other in others):
        return operand.role
    return joined(operand, *others, summed=summed)


def product(a: Operand, b: Operand) -> Role:
    """What a function makes that is linear in each of its two operands; see :func:`joined`."""
    return scaled(b, a) if is_partial(b.role) else scaled(a, b)


def total(*operands: Operand) -> Role:
    """What a sum, or a difference, of operands that broadcast together is.

    A mean over the batch of ``x + c`` is that of ``x``, plus ``c``: weights of a mean add up to 1. A sum is not: ``c``
    would be added once for each tile.
    """
    kinds = {type(operand.role) for operand in operands}
    if PerSample in kinds or not kinds & {PartialSum, PartialMean}:
        return joined(*operands)
    if kinds == {PartialSum}:
        return PartialSum()
    if PartialSum not in kinds:
        return PartialMean()
    if PartialMean in kinds:
        raise UnsupportedError("it adds a sum over the batch and a mean over the batch, and the result is neither")
    (other, *_) = (operand.label for operand in operands if operand.role == Whole())
    raise UnsupportedError(
        f"its operand {other} does not depend on the samples, and tiles of a sum over the batch "
        "would count it once each; add it after the sum, or to each sample"
    )


def epilogue(role: Role, bias: Sequence[Operand], activation: str | None, result: TensorType) -> Role:
    """What a product of this role is after its bias and its fused activation."""
    everywhere = aligned(result.rank, result.rank)
    if bias:
        role = total(Operand("product", role, result.shape, everywhere), *bias)
    return joined(Operand("product", role, result.shape, everywhere)) if activation else role


def _common_destination(operands: Sequence[Operand]) -> int | None:
    """Where the batch goes, or None where there is none; raises UnsupportedError unless samples stay by themselves."""
    destinations = {o.label: _destination(o, o.role) for o in operands if isinstance(o.role, PerSample)}
    if not destinations:
        return None
    (first, destination), *rest = destinations.items()
    for label, other in rest:
        if other != destination:
            raise UnsupportedError(
                f"every sample meets every other one: the batch is {_axis(destination)} by its operand {first}, "
                f"and {_axis(other)} by its operand {label}"
            )
    for operand in operands:
        _require_no_rows(operand, destination, first)
    return destination


def _destination(operand: Operand, role: PerSample) -> int:
    destination = operand.to[role.axis]
    if destination == MIXED:
        raise UnsupportedError(
            f"it mixes slices along axis {role.axis} of its operand {operand.label}, which is the batch"
        )
    return destination


def _require_no_rows(operand: Operand, destination: int, partner: str) -> None:
    """Raise UnsupportedError if a value that is the same in every tile has a row for each sample."""
    if isinstance(operand.role, PerSample):
        return
    for axis, size in enumerate(operand.shape):
        if operand.to[axis] == destination and size != 1:
            raise UnsupportedError(
                f"its operand {operand.label} is the same in every tile and has size {size} along axis {axis}, "
                f"which meets the batch of its operand {partner}: a tile would see the rows of all samples"
            )


def _axis(destination: int) -> str:
    return "summed over" if destination == SUMMED else f"axis {destination} of the result"
