"""Where the lowering makes no difference, none is shown."""

from __future__ import annotations

import pytest

import convir
from convir import UnsupportedError, nn, zoo


def test_a_model_without_convolution_has_no_winner():
    comparison = convir.compare(zoo.mlp(), (1, 1, 8, 8), repeats=1)
    assert not comparison.has_convolution
    assert comparison.lowerings == ("naive",)
    assert "im2col is left out: it would run the same kernels as naive, as there is no convolution." in str(comparison)
    assert "--layer" not in str(comparison)
    assert "There is no convolution to lower" in str(comparison)
    assert "as fast as" not in str(comparison)
    assert "Layers without convolution" not in str(comparison)


def test_with_a_convolution_there_is_one():
    comparison = convir.compare(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), repeats=1)
    assert comparison.has_convolution
    assert "as fast as" in str(comparison)


def test_the_plot_leaves_out_layers_without_convolution(tmp_path):
    pytest.importorskip("matplotlib")
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    drawn = convir.compare(net, (1, 1, 8, 8), repeats=1).plot(tmp_path / "net.svg").read_text()
    assert "<!-- conv2d -->" in drawn
    assert "<!-- whole net -->" in drawn
    assert "<!-- matmul -->" not in drawn
    bare = convir.compare(zoo.mlp(), (1, 1, 8, 8), repeats=1).plot(tmp_path / "mlp.svg").read_text()
    assert "<!-- whole net -->" in bare
    assert "<!-- head -->" not in bare


def test_a_lowering_is_named_once():
    with pytest.raises(UnsupportedError, match="compared once, but lowerings names im2col more than once"):
        convir.compare(zoo.mlp(), (1, 1, 8, 8), lowerings=["im2col", "naive", "im2col"])
