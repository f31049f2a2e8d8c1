"""Regions by hand, their loops before and after they are joined, and what those compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from convir.ir import Builder, TensorType
from convir.ir.ops import Region
from convir.loops import Nest, Program, Together
from convir.loops.rules.region import one_by_one
from convir.runtime import evaluate
from support.generated import operands_of, program_of
from support.graphs import assert_close, random_array
from support.loop_interpreter import interpret_program


def region(
    inputs: dict[str, tuple[int, ...]], steps: dict[str, tuple], *outputs: str, dtype: str = "float64"
) -> Region:
    """A region by hand; a step is an op with the names of its operands. Without names the last step is returned."""
    builder = Builder("region")
    values = {name: builder.input(name, TensorType(shape, dtype)) for name, shape in inputs.items()}
    for name, (op, *operands) in steps.items():
        values[name] = builder.emit(op, *(values[operand] for operand in operands), name=name)
    return Region(builder.finish([values[name] for name in outputs or [*steps][-1:]], {}))


def line(nest: Nest) -> str:
    """``stored <- loaded``"""
    stored = dict.fromkeys(store.operand for store in nest.stores)
    return f"{' '.join(stored)} <- {' '.join(sorted(nest.loaded()))}".strip()


def parts(program: Program) -> list[str]:
    """One line for each nest; those in a shared loop stand together."""
    return [
        f"{part.axis.extent} rows: {'; '.join(map(line, part.nests))}" if isinstance(part, Together) else line(part)
        for part in program.parts
    ]


def assert_leaves(op: Region, expected: str, **temporaries: tuple[int, ...]) -> Program:
    """These nests (operands are numbered) and these buffers, which compute what the ops compute."""
    program = joined(op)
    assert program is not None
    assert "\n".join(parts(program)).replace("_in", "") == expected
    assert {name: type.shape for name, type in program.temporaries} == temporaries
    rng = np.random.default_rng(0)
    arrays = {value.name: random_array(value.type, rng) for value in op.body.inputs}
    results = evaluate(op, [*arrays.values()])
    for nests in (program, apart(op)):
        assert nests is not None
        assert_close(interpreted(op, nests, arrays), results, 1e-12)
    return program


def assert_near(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float) -> None:
    """Each array equal to its counterpart, relative to the largest element, or to 1: what is added may cancel."""
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(b))))


def joined(op: Region) -> Program | None:
    """The loops of a region."""
    return program_of(op, [value.type for value in op.body.inputs])


def apart(op: Region) -> Program | None:
    """The loops of its ops one after the other, each as its rule wrote it."""
    return one_by_one(op, *operands_of(op, [value.type for value in op.body.inputs]))


def interpreted(op: Region, program: Program, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What the nests compute of these operands, by name."""
    given, made = operands_of(op, [value.type for value in op.body.inputs])
    memory = {o.name: arrays[v.name].reshape(-1) for o, v in zip(given, op.body.inputs, strict=True)}
    found = interpret_program(program, memory | {o.name: np.full(o.type.size, np.nan) for o in made})
    return [found[o.name].reshape(o.type.shape) for o in made]
