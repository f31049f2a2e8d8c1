"""A lowering that cannot compute a layer says what did."""

from __future__ import annotations

import convir
from convir import nn
from convir.comparison.models import usual_lowerings
from convir.passes.lower_conv import STRATEGIES, taking


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


def names_and_reasons(model):
    names, left_out = usual_lowerings(convir.trace(model, SHAPE))
    return {*names}, {each.lowering: each.reason for each in left_out}


def test_strategies_that_take_a_model():
    (net, refused), (small, _) = names_and_reasons(Net()), names_and_reasons(nn.Conv2d(2, 3, 1))
    assert {"naive", "im2col", "toeplitz", "direct", "shift_gemm", "im2col_tiled", "auto"} <= net & small
    assert "pointwise" in small
    assert net | {*refused} == {each.name for each in STRATEGIES} | {"auto"}
    assert (
        refused
        | {
            "depthwise": "refuses 2 of 3 convolutions (first: needs as many groups as there are input channels, 2, and "
            "has groups=1)",
            "pointwise": "refuses 2 of 3 convolutions (first: needs a 1x1 kernel, and this one is 3x3)",
        }
        == refused
    )
    assert refused["winograd_2x2"] == "refuses 1 of 3 convolutions (last: saves nothing with a 1x1 kernel)"
    assert net == {*taking(convir.trace(Net(), SHAPE)), "auto"}
    assert names_and_reasons(nn.ReLU()) == ({"im2col"}, {})


def test_what_a_comparison_leaves_out_is_said_with_the_way_to_compare_it():
    options = {"repeats": 1, "time_budget": 0.1, "threads": 1}
    comparison = convir.compare(Net(), SHAPE, lowerings=None, **options)
    assert {*comparison.lowerings} == names_and_reasons(Net())[0]
    text = comparison.table().text(width=300)
    assert "pointwise is left out: it refuses 2 of 3 convolutions (first: needs a 1x1 kernel" in text
    assert "convir.compare_layer (--layer NAME) compares all that take that one." in text
    assert [each["lowering"] for each in comparison.to_json()["left_out"]] == [*names_and_reasons(Net())[1]]
    assert "--layer NAME" not in str(convir.compare(Net(), SHAPE, lowerings=["im2col"], **options))
    assert "--layer NAME" not in str(convir.compare_layer(convir.conv_layer(1, 1, 3, 5), **options))
