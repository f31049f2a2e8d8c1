"""What goes into the tiles of a division and what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convir.execution.transfer import (
    Alike,
    Finished,
    FirstAlone,
    Incoming,
    Mean,
    Partial,
    Shared,
    Slices,
    Sum,
    Transfer,
    Weighted,
)
from convir.ir import Value
from convir.passes.batch import BatchRoles, PartialMean, PartialSum, PerSample, Role, Whole
from convir.tiling import Division

_Kinds = Mapping[type[Role], type[Transfer]]

#: How a value goes in or out by its role; one with a slice for each sample is cut or joined in all of them.
_INPUTS: _Kinds = {Whole: Shared}
_COTANGENTS: _Kinds = {Whole: FirstAlone, PartialSum: Shared, PartialMean: Weighted}
_RESULTS: _Kinds = {Whole: Alike, PartialSum: Sum, PartialMean: Mean}
#: What is the same in every tile has a gradient that adds up.
_GRADIENTS: _Kinds = {Whole: Sum, PartialSum: Sum, PartialMean: Sum}


@dataclass(frozen=True)
class Interface:
    """What one half of a division takes and gives.

    Attributes:
        incoming: inputs or cotangents, in order.
        outgoing: results or gradients, in order.
        values: the same as values of the whole batch.
    """

    incoming: Sequence[Incoming]
    outgoing: Sequence[Finished | Partial]
    values: Sequence[Value]


def forward_interface(division: Division, roles: BatchRoles) -> Interface:
    """Inputs and results."""
    model, programs = division.model, division.programs.items()
    inputs = [roles.of[value.name] for value in model.inputs]
    return Interface(
        _transfers(_INPUTS, inputs, {size: program.model.inputs for size, program in programs}),
        _transfers(_RESULTS, roles.outputs, {size: program.forward.outputs for size, program in programs}),
        model.outputs,
    )


def backward_interface(division: Division, roles: BatchRoles) -> Interface:
    """Cotangents and gradients."""
    model, first, programs = division.model, division.program, division.programs.items()
    differentiated = [roles.outputs[place] for place in first.of]
    values = {value.name: value for value in (*model.params, *model.inputs)}
    backwards = {size: program.backward for size, program in programs if program.backward is not None}
    return Interface(
        _transfers(_COTANGENTS, differentiated, {size: program.cotangents for size, program in programs}),
        _transfers(
            _GRADIENTS,
            [roles.of[name] for name in first.wrt],
            {size: backward.outputs for size, backward in backwards.items()},
        ),
        [values[name] for name in first.wrt],
    )


def _transfers(kinds: _Kinds, roles: Sequence[Role], values: Mapping[int, Sequence[Value]]) -> list[Any]:
    """The same places of every size's values, with their roles."""
    return [
        _transfer(kinds, role, {size: listed[place].name for size, listed in values.items()})
        for place, role in enumerate(roles)
    ]


def _transfer(kinds: _Kinds, role: Role, names: Mapping[int, str]) -> Transfer:
    return Slices(names, role.axis) if isinstance(role, PerSample) else kinds[type(role)](names)
