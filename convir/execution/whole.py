"""A batch in one piece: its arrays are those of the arena, and nothing has to be put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from numpy.typing import NDArray

from convir.execution.protocol import limited, read_only
from convir.execution.results import Results
from convir.ir import Value
from convir.runtime import Executable
from convir.tiling import Division

Array = NDArray[Any]


class WholeBatch:
    """One executable for the whole batch.

    Args:
        division: the program.
        parameters: the live array of each parameter.
    """

    part = None

    def __init__(self, division: Division, parameters: Mapping[str, Array]) -> None:
        program = division.program
        self.executable = Executable(program.memory, parameters, program.kernels)
        limit = limited(self.executable, division.lane_threads)
        # What the backward needs follows the model's outputs.
        results = program.forward.outputs[: len(program.model.outputs)]
        self.halves = [WholeHalf(0, self.executable, program.model.inputs, results, limit)]
        if program.backward is not None:
            gradients = program.backward.outputs
            self.halves.append(WholeHalf(1, self.executable, program.cotangents, gradients, limit))

    def load(self, inputs: Sequence[Array]) -> None:
        """Copy the inputs to where they live."""
        self.halves[0].load(inputs)


class WholeHalf:
    """The forward (0) or backward (1) of one executable; see :class:`convir.execution.Half`."""

    def __init__(
        self,
        number: int,
        executable: Executable,
        incoming: Sequence[Value],
        outgoing: Sequence[Value],
        limit: AbstractContextManager[None],
    ) -> None:
        self._number, self._executable, self._limit = number, executable, limit
        self._places = [executable.read(value) for value in incoming]
        self._results = Results(outgoing)
        self.views = tuple(read_only(executable.read(value)) for value in outgoing)

    def load(self, incoming: Sequence[Array]) -> None:
        """Copy the inputs or cotangents to where they live."""
        for place, array in zip(self._places, incoming, strict=True):
            place[...] = array  # half the time of np.copyto

    def run(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """Compute what :attr:`views` show, and return them."""
        self.load(incoming)
        with self._limit:
            self._executable.run(self._number)
        return self.views

    def run_into_new(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """The same, copied."""
        return self._results.copies(self.run(incoming))
