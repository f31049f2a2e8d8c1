"""A lowering that cannot compute a layer says what did."""

from __future__ import annotations

import convir
from convir import nn
from convir.passes.lower_conv import taking


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Conv2d(2, 4, 3)
        self.depth = nn.Conv2d(4, 4, 3, groups=4)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(self.depth(self.first(x)))


SHAPE = (1, 2, 8, 8)

#: What NumPy computes convolutions by unless told otherwise.
USUAL = "toeplitz"


def test_layers_that_were_computed_by_another():
    comparison = convir.compare(Net(), SHAPE, lowerings=["im2col", "depthwise", "pointwise"], repeats=1)
    by = {(row.layer, row.lowering): row.computed_by for row in comparison.rows if row.computed_by}
    assert by == {
        ("first", "depthwise"): USUAL,
        ("last", "depthwise"): USUAL,
        ("first", "pointwise"): USUAL,
        ("depth", "pointwise"): USUAL,
    }
    text = comparison.table().text(width=200)
    assert f"depthwise refuses first, last: computed by {USUAL}." in text
    assert f"pointwise refuses first, depth: computed by {USUAL}." in text
    assert "im2col refuses" not in text
    assert {row["computed_by"] for row in comparison.to_json()["rows"]} == {"", USUAL}


def test_strategies_that_take_a_model():
    net, small = taking(convir.trace(Net(), SHAPE)), taking(convir.trace(nn.Conv2d(2, 3, 1), SHAPE))
    assert {"naive", "im2col", "toeplitz", "direct", "shift_gemm", "im2col_tiled"} <= {*net} & {*small}
    assert not {"depthwise", "pointwise"} & {*net}
    assert "pointwise" in small
    assert "depthwise" not in small
    assert {"depthwise", "pointwise"} <= {*taking(convir.trace(nn.ReLU(), SHAPE))}
