"""A lowering that cannot compute a layer says what did."""

from __future__ import annotations

import convir
from convir import nn
from convir.passes.lower_conv import STRATEGIES, taking
from convir.runtime import NUMPY


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Conv2d(2, 4, 3)
        self.depth = nn.Conv2d(4, 4, 3, groups=4)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(self.depth(self.first(x)))


SHAPE = (1, 2, 8, 8)


def test_layers_that_were_computed_by_another():
    comparison = convir.compare(Net(), SHAPE, lowerings=["im2col", "depthwise", "pointwise"], repeats=1)
    by = {(row.layer, row.lowering): row.computed_by for row in comparison.rows if row.computed_by}
    assert by == {
        ("first", "depthwise"): NUMPY.conv,
        ("last", "depthwise"): NUMPY.conv,
        ("first", "pointwise"): NUMPY.conv,
        ("depth", "pointwise"): NUMPY.conv,
    }
    text = comparison.table().text(width=200)
    assert f"depthwise refuses first, last: computed by {NUMPY.conv}." in text
    assert f"pointwise refuses first, depth: computed by {NUMPY.conv}." in text
    assert "im2col refuses" not in text
    assert {row["computed_by"] for row in comparison.to_json()["rows"]} == {"", NUMPY.conv}


def test_strategies_that_take_a_model():
    names = [each.name for each in STRATEGIES]
    assert list(taking(convir.trace(Net(), SHAPE))) == [n for n in names if n not in ("depthwise", "pointwise")]
    assert list(taking(convir.trace(nn.Conv2d(2, 3, 1), SHAPE))) == [n for n in names if n != "depthwise"]
    assert list(taking(convir.trace(nn.ReLU(), SHAPE))) == names
