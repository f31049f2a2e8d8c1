"""What the page shows of a comparison: rows by layer, what is remarkable about a row, what it says in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from convir.comparison import verdict
from convir.comparison.page import text
from convir.comparison.report import WHOLE, Comparison, ComparisonRow
from convir.comparison.words import listed
from convir.passes.lower_conv import STRATEGIES

#: Marks a layer that another strategy computes.
REPLACED = "†"


@dataclass(frozen=True)
class View:
    """A comparison, looked up by layer.

    Attributes:
        comparison: what is shown.
        order: names of the lowerings of a page that shows more than this comparison.
    """

    comparison: Comparison
    order: tuple[str, ...] = ()

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Place of each lowering, which decides its colour and its mark."""
        return {name: index for index, name in enumerate(self.order or self.comparison.lowerings)}

    @property
    def whole(self) -> str:
        """What all layers together are called."""
        return "the layer" if self.comparison.layer else WHOLE

    @cached_property
    def layers(self) -> Mapping[str | None, Sequence[ComparisonRow]]:
        """The rows of each layer, and of the whole net (None)."""
        found: dict[str | None, list[ComparisonRow]] = {}
        for row in self.comparison.rows:
            found.setdefault(row.layer, []).append(row)
        return found

    @cached_property
    def convolutions(self) -> Mapping[str, Sequence[ComparisonRow]]:
        """The rows of the layers that the lowering decides."""
        return {name: rows for name, rows in self.layers.items() if name is not None and rows[0].is_convolution}

    def distinct(self, layer: str) -> Sequence[ComparisonRow]:
        """The rows of a layer that compute it themselves, without those who chose a strategy that has a row, too."""
        return [row for row in self.own(layer) if not self.is_copy(row)]

    def is_copy(self, row: ComparisonRow) -> bool:
        """Whether a layer is computed by a strategy that was chosen and has a row of its own."""
        return any(name in self.comparison.lowerings for name in row.chosen)

    def own(self, layer: str | None) -> Sequence[ComparisonRow]:
        """The rows of a layer under the lowerings that compute it themselves."""
        return [row for row in self.layers[layer] if not row.computed_by]

    @cached_property
    def replaced(self) -> Mapping[str, Sequence[ComparisonRow]]:
        """Lowering -> rows of the layers that it leaves to another one."""
        found: dict[str, list[ComparisonRow]] = {}
        for row in self.comparison.rows:
            if row.computed_by:
                found.setdefault(row.lowering, []).append(row)
        return found

    def reason(self, row: ComparisonRow) -> str:
        """Why another strategy took this row's place, as what follows its name; empty where none did."""
        if not row.computed_by:
            return ""
        layer = self.comparison.convolutions.get(row.layer or "")
        refuses = next((each.refuses for each in STRATEGIES if each.name == row.lowering), None)
        why = refuses(layer.op, layer.image, layer.weight) if layer and refuses else None
        return f"{why or 'refuses the layer'}; computed by {row.computed_by}"

    def remarks(self, row: ComparisonRow) -> list[str]:
        """What a reader of the row's figures must know."""
        said = [self.reason(row)] if row.computed_by else []
        if row.layer is None and row.lowering in self.replaced:
            left = sum(1 for _ in self.replaced[row.lowering])
            said.append(f"{left} of {len(self.convolutions)} convolutions computed by another strategy")
        if row.extrapolated_from is not None:
            part_of = self.whole if self.comparison.layer else "each layer"
            part = f"a batch of {row.extrapolated_from}" if row.extrapolated_from else f"a small part of {part_of}"
            said.append(f"extrapolated from {part}")
        return said

    def title(self, row: ComparisonRow) -> str:
        """All that is known of the row's time, in a line."""
        said = [f"{row.layer or self.whole}, {row.lowering}: {time_of(row)}"]
        if row.chosen:
            said.append(f"chose {listed(row.chosen)}")
        if row.runs > 1:
            low, high = text.seconds(row.seconds_lower), text.seconds(row.seconds_upper)
            said.append(f"quartiles {low} to {high} of {row.runs} runs")
        said.append("the best" if row.ratio == 1 else f"{ratio_of(row)} the best")
        if row.predicted_seconds is not None:
            said.append(f"predicted {text.seconds(row.predicted_seconds)}")
        return ", ".join([*said, *self.remarks(row)])


def time_of(row: ComparisonRow) -> str:
    """The median, marked where it was not measured."""
    return text.typeset(verdict.time_of(row))


def ratio_of(row: ComparisonRow) -> str:
    """How many times the best lowering's time a row takes, marked where it was not measured."""
    return text.typeset(verdict.ratio(row))
