"""One lowering in a comparison: the whole batch where it ends in time, or as much of it as does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from convir.comparison.contender import Array, Contender, Run
from convir.comparison.prediction import predicted_seconds
from convir.passes.lower_conv.choice import CHOOSERS


class Entrant:
    """One lowering: what it is for the whole batch, and how long that takes, measured or extrapolated.

    Attributes:
        lowering: name of the strategy.
        whole: the contender for the whole batch: its costs, its memory. It runs only where it ends in time.
        samples: those that are timed; 0 where not even one ends in time, and times are estimated.
    """

    def __init__(self, whole: Contender, batch: int) -> None:
        self.lowering, self.whole, self.samples = whole.lowering, whole, batch
        self._batch, self._timed = batch, whole
        self._estimate: Run | None = None

    def shrink(self, timed: Contender, samples: int) -> None:
        """Time another contender instead, of so many samples."""
        self._timed, self.samples = timed, samples

    def estimate(self, seconds: Mapping[str, float]) -> None:
        """Time nothing: layers take so long, and others next to nothing."""
        self._estimate, self.samples = Run(seconds, sum(seconds.values())), 0

    @property
    def timed(self) -> Contender | None:
        """What runs; None where nothing does."""
        return None if self._estimate else self._timed

    @property
    def extrapolated_from(self) -> int | None:
        """Samples that were timed in place of the whole batch; None where that was timed itself."""
        return None if self.samples == self._batch else self.samples

    @cached_property
    def runs(self) -> Sequence[Run]:
        """Counted runs of the whole batch; to be asked for after the last one."""
        if self._estimate:
            return [self._estimate]
        scale = self._batch / self.samples
        return [
            Run({layer: seconds * scale for layer, seconds in run.layers.items()}, run.total * scale)
            for run in self._timed.runs
        ]

    @property
    def counted(self) -> int:
        """How many runs were counted."""
        return 0 if self._estimate else len(self._timed.runs)

    @property
    def results(self) -> Sequence[Array]:
        """What the first run gave; nothing where none ran."""
        return self._timed.results

    @cached_property
    def predicted(self) -> Mapping[str | None, float | None]:
        """Layer, or None for the whole, -> the seconds that the whole batch was expected to take."""
        return predicted_seconds(self.whole)

    @property
    def chosen(self) -> Mapping[str, str]:
        """Layer -> the strategy that was chosen for it; empty for a lowering that is one itself."""
        return self.whole.strategies if self.lowering in CHOOSERS else {}

    @property
    def computed_by(self) -> Mapping[str, str]:
        """Layer -> the strategy that computes it, for layers that this one refuses."""
        return self.whole.computed_by
