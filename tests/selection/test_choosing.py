"""Strategies that are chosen layer by layer: what for, within which limits, and what the user sees of it."""

import numpy as np
import pytest
from support.choosing import forget

import convir
from convir import ConvirWarning, data, nn, training, zoo
from convir.ir import ConvirError, TensorType, UnsupportedError
from convir.ir.ops import Conv2d
from convir.passes.lower_conv import STRATEGIES, ConvLayer, LowerConv
from convir.runtime import NUMPY
from convir.selection import Auto, Limits, Measured, chooser, timing
from convir.selection.place import Place
from convir.selection.rounding import Rounding
from convir.selection.timing import Time


def net(batch=2):
    convir.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
    return nn.Sequential(*layers, nn.Conv2d(8, 4, 1)), (batch, 3, 12, 12)


LAYER = ConvLayer(Conv2d(padding=(1, 1)), TensorType((1, 64, 28, 28), "float32"), TensorType((64, 64, 3, 3), "float32"))


def decided(layer=LAYER, **limits):
    return Auto(NUMPY, Limits(**limits)).decide([layer], STRATEGIES, 1)[layer]


def by_name(decision):
    return {each.strategy: each for each in decision.candidates}


def test_auto_takes_the_least_prediction(round_machine):
    decision = decided()
    seconds = {
        each.strategy: each.predicted_seconds for each in decision.candidates if each.predicted_seconds is not None
    }
    assert decision.chosen.name == min(seconds, key=seconds.get)
    assert set(seconds) >= {"im2col", "im2col_tiled", "shift_gemm", "winograd_2x2", "winograd_4x4"}


def test_every_strategy_is_a_candidate_or_says_why_not(round_machine):
    found = by_name(decided())
    assert list(found) == [each.name for each in STRATEGIES]
    assert found["pointwise"].excluded == "needs a 1x1 kernel, and this one is 3x3"
    assert "reference" in found["naive"].excluded


def test_a_memory_limit_changes_the_choice(round_machine):
    free = decided()
    needed = by_name(free)[free.chosen.name].scratch_bytes
    limited = decided(memory=needed - 1)
    assert limited.chosen.name != free.chosen.name
    assert "of scratch, more than the limit" in by_name(limited)[free.chosen.name].excluded
    assert by_name(limited)[limited.chosen.name].scratch_bytes < needed


def test_a_bound_on_the_error_excludes_what_rounds_more(round_machine):
    exact = 1e-12 + Rounding(LAYER).error(STRATEGIES[1], NUMPY)
    assert decided().chosen.name == "winograd_4x4"
    bounded = decided(error=exact)
    found = by_name(bounded)
    assert "more than" in found["winograd_4x4"].excluded
    assert found["winograd_4x4"].error > 2 * exact
    assert found[bounded.chosen.name].error <= exact
    slower = [each for each in found.values() if not each.excluded and each.error is None]
    assert all(each.predicted_seconds >= found[bounded.chosen.name].predicted_seconds for each in slower)


def test_where_nothing_is_left_the_nearest_to_the_limit_is_named(round_machine):
    scratch = {each.strategy: each.scratch_bytes for each in decided().candidates if each.scratch_bytes}
    least = min(scratch, key=scratch.get)
    message = rf"no strategy is left for 64 filters 3x3 .*: {least} needs .* of scratch, .*; allow more$"
    with pytest.raises(UnsupportedError, match=message) as caught:
        decided(memory=0)
    assert "pointwise" not in str(caught.value)
    with pytest.raises(
        UnsupportedError, match=r"; allow more, or ask for smaller tiles of the batch \(tile=, --tile\)$"
    ):
        Auto(NUMPY, Limits(memory=0)).decide([LAYER.with_batch(8)], STRATEGIES, 1)
    with pytest.raises(UnsupportedError, match=r"has an error of .*, more than 1.0e-12; allow more$"):
        decided(error=1e-12)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"memory_limit": -1}, "memory_limit is a number of bytes"),
        ({"memory_limit": 1.5}, "memory_limit is a number of bytes"),
        ({"max_error": 0}, "max_error is a positive relative error"),
        ({"max_error": float("nan")}, "max_error is a positive relative error"),
        ({"max_error": "1e-5"}, "max_error is a positive relative error"),
    ],
)
def test_limits_that_are_none(limits, message):
    model, shape = net()
    with pytest.raises(ConvirError, match=message):
        convir.compile(model, shape, conv="auto", **limits)


def test_limits_need_somebody_to_keep_to_them():
    model, shape = net()
    for conv in (None, "im2col", {"conv2d": "im2col"}):
        with pytest.raises(UnsupportedError, match=r"memory_limit= and max_error= say what conv='auto'"):
            convir.compile(model, shape, conv=conv, memory_limit=10**6)
    with pytest.raises(ConvirError, match="passes= is the whole pipeline"):
        convir.compile(model, shape, passes=convir.pipeline(), memory_limit=10**6)


def test_a_pipeline_takes_the_chooser_itself(round_machine):
    with pytest.raises(UnsupportedError, match=r"conv='auto' is for convir.compile\(\)"):
        convir.compile(nn.Conv2d(1, 1, 3), (1, 1, 8, 8), passes=convir.pipeline(conv="auto"))
    passes = convir.pipeline(conv=chooser("auto", NUMPY))
    compiled = convir.compile(*net(), passes=passes)
    assert [row.asked for row in compiled.lowering.rows] == ["auto"] * 4


def test_nobody_else_chooses():
    with pytest.raises(UnsupportedError, match=r"nobody called 'guess' chooses strategies; there are: auto, measure"):
        chooser("guess", NUMPY)


def test_a_chooser_for_some_layers(round_machine):
    compiled = convir.compile(*net(), conv={"conv2d": "im2col", "conv2d_3": "auto"}, inference=True)
    rows = {row.node: row for row in compiled.lowering.rows}
    asked = [row.asked for row in rows.values()]
    assert sorted(asked) == ["", "", "auto", "im2col"]


@pytest.mark.slow
@pytest.mark.parametrize("conv", ["auto", "measure"])
@pytest.mark.parametrize("inference", [False, True])
def test_results_are_those_of_the_reference(conv, inference):
    model, shape = net()
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    chosen = convir.compile(model, shape, conv=conv, inference=inference)
    reference = convir.compile(model, shape, conv="naive", inference=inference)
    np.testing.assert_allclose(chosen(x), reference(x), rtol=1e-3, atol=1e-4)
    if not inference:
        dy = np.ones(chosen(x).shape, "float32")
        reference(x)
        gradients, expected = chosen.backward(dy), reference.backward(dy)
        for name in expected:
            np.testing.assert_allclose(gradients[name], expected[name], rtol=1e-3, atol=1e-3)


def test_measure_tries_each_shape_once_and_remembers(monkeypatch):
    tried = []
    once = timing.measure

    def counted(layer, *rest):
        tried.append(layer)
        return once(layer, *rest)

    monkeypatch.setattr(timing, "measure", counted)
    model, shape = net()
    first = convir.compile(model, shape, conv="measure", inference=True, tile=99)
    assert len(tried) == len(set(tried)) == 3
    second = convir.compile(model, shape, conv="measure", inference=True, tile=99)
    assert len(tried) == 3
    assert first.lowering == second.lowering


def test_measure_takes_the_least_time_within_the_limits(monkeypatch):
    known = {"im2col": Time(3e-3, 3e-3, 3e-3, 5, 9000, 1e-7), "winograd_4x4": Time(1e-3, 1e-3, 1e-3, 5, 5000, 1e-5)}
    monkeypatch.setattr(timing, "measure", lambda layer, *_: _with_all(layer, known))

    def chosen(**limits):
        decision = Measured(NUMPY, Limits(**limits)).decide([LAYER], STRATEGIES, 1)[LAYER]
        return decision.chosen.name

    assert chosen() == "winograd_4x4"
    assert chosen(error=1e-6) == "im2col"
    assert chosen(memory=6000, error=1e-4) == "winograd_4x4"


def _with_all(layer, known):
    slow = Time(1.0, 1.0, 1.0, 5, 10**6, 1e-3)
    names = [each.name for each in STRATEGIES if not LowerConv(each).lowering(layer.alone()).refused]
    return {name: known.get(name, slow) for name in names if name != "naive"}


def test_a_damaged_measurement_is_made_again(folder, monkeypatch, round_machine):
    measured = []
    monkeypatch.setattr(timing, "measure", lambda layer, *_: measured.append(layer) or _with_all(layer, {}))
    for damage in (None, b"{", b"null", b'{"question": 1}'):
        if damage is not None:
            (file,) = folder.iterdir()
            file.write_bytes(damage)
        forget()
        Measured(NUMPY).decide([LAYER], STRATEGIES, 1)
    assert len(measured) == 4


def test_times_that_cannot_be_are_measured_again(monkeypatch):
    measured = []
    times = _with_all(LAYER, {"im2col": Time(-1.0, 1.0, 1.0, 5, 1, 1e-3)})
    monkeypatch.setattr(timing, "measure", lambda layer, *_: measured.append(layer) or times)
    for _ in range(2):
        timing.times_of([LAYER], STRATEGIES, Place(NUMPY))
    assert len(measured) == 2


def test_another_number_of_threads_is_another_measurement(folder, monkeypatch, round_machine):
    monkeypatch.setattr(timing, "measure", lambda layer, *_: _with_all(layer, {}))
    for threads in (1, 2, 2):
        timing.times_of([LAYER], STRATEGIES, Place(NUMPY, threads))
    assert len(list(folder.iterdir())) == 2


def test_timing_every_strategy_that_takes_the_layer():
    layer = ConvLayer(
        Conv2d(), TensorType((2, 4, 6, 6), "float32"), TensorType((4, 4, 3, 3), "float32"), gradients=("weight",)
    )
    times = timing.measure(layer, STRATEGIES, Place(NUMPY))
    assert set(times) == {each.name for each in STRATEGIES if not each.refuses(layer.op, layer.image, layer.weight)} - {
        "naive"
    }
    for name, time in times.items():
        assert 0 < time.seconds_lower <= time.seconds <= time.seconds_upper, name
        assert time.error < 1e-5, name


def test_a_constant_weight_is_transformed_beforehand(round_machine):
    trained = decided()
    frozen = decided(ConvLayer(**{**vars(LAYER), "frozen": True}))
    assert by_name(frozen)["winograd_4x4"].predicted_seconds < by_name(trained)["winograd_4x4"].predicted_seconds
    assert by_name(frozen)["winograd_4x4"].scratch_bytes < by_name(trained)["winograd_4x4"].scratch_bytes


def test_an_estimate_is_of_what_is_chosen(round_machine):
    model, shape = net()
    compiled = convir.compile(model, shape, conv="auto", threads=1)
    assert convir.estimate(model, shape, conv="auto").lowered.flops > 0
    (chosen, *_) = compiled.lowering.rows
    alone = convir.estimate(model, shape, conv={chosen.node: chosen.strategy, "*": "auto"})
    assert alone.lowered.flops == convir.estimate(model, shape, conv="auto").lowered.flops


def test_training_by_chosen_strategies(round_machine):
    train, test = data.digits().split(0.5)
    history = training.fit(zoo.digits_cnn(), train, test, epochs=1, conv="auto", progress=False)
    assert history.last.test_accuracy > 0.3


@pytest.mark.parametrize("conv", ["auto", "measure"])
def test_a_chooser_for_each_of_two_layers(conv, round_machine):
    compiled = convir.compile(*net(), conv={"conv2d": conv, "conv2d_3": conv}, inference=True)
    asked = {row.node: row.asked for row in compiled.lowering.rows}
    assert asked == {"conv2d": conv, "conv2d_1": "", "conv2d_2": "", "conv2d_3": conv}


def test_what_was_decided_stays_though_nothing_can_be_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    measured = []
    times = [Time(1e-3 * (1 + len(measured)), 1e-3, 1e-3, 5, 1, 1e-7)]
    monkeypatch.setattr(
        timing, "measure", lambda layer, *_: measured.append(layer) or _with_all(layer, {"im2col": times[0]})
    )
    with pytest.warns(ConvirWarning, match="measurements cannot be kept"):
        compiled = convir.compile(*net(), conv="measure", inference=True, tile=99)
    count = len(measured)
    assert [row.strategy for row in compiled.lowering.rows[:3]] == ["im2col"] * 3
    str(compiled.explain())
    assert len(measured) == count


def test_a_weight_that_follows_from_constants_is_one(round_machine):
    class Scaled(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones((4, 3, 3, 3), "float32"))
            self.scale = nn.Parameter(np.ones((4, 1, 1, 1), "float32"))

        def forward(self, x):
            return nn.functional.conv2d(x, self.weight * self.scale)

    (row,) = convir.compile(Scaled(), (1, 3, 8, 8), conv="auto", inference=True).lowering.rows
    assert row.layer.frozen
    (row,) = convir.compile(Scaled(), (1, 3, 8, 8), conv="auto").lowering.rows
    assert not row.layer.frozen


def test_what_does_not_fit_the_machine_is_no_candidate(round_machine, monkeypatch):
    needed = {each.strategy: each.scratch_bytes for each in decided().candidates if each.scratch_bytes}
    monkeypatch.setattr("convir.selection.limits.machine_bytes", lambda: needed["im2col"] // 2)
    forget()
    decision = decided()
    assert "and this machine has" in by_name(decision)["im2col"].excluded
    assert needed[decision.chosen.name] < needed["im2col"]


def test_one_disturbed_run_makes_nothing_hopeless():
    class Runs:
        def __init__(self, *seconds):
            self.seconds = iter(seconds)

        def run(self, threads):
            return next(self.seconds)

    done = []
    benches = {"a": Runs(*[1.0] * 20), "b": Runs(5.0, 0.9, 0.9, *[0.9] * 20), "c": Runs(40.0)}
    found = timing._by_turns(benches, 1, lambda: done.append(1))
    assert found == {"a": [1.0] * 3, "b": [0.9] * 3, "c": [40.0]}
    assert len(done) == 3


def test_disturbed_times_are_not_kept(folder, monkeypatch, round_machine):
    times = _with_all(LAYER, {"im2col": Time(2e-3, 1e-3, 9e-3, 15, 1, 1e-7)})
    monkeypatch.setattr(timing, "measure", lambda layer, *_: times)
    timing.times_of([LAYER], STRATEGIES, Place(NUMPY))
    assert not folder.exists()


@pytest.mark.parametrize("limits", [{"memory_limit": np.int64(10**8)}, {"max_error": np.float32(1e-2)}])
def test_limits_may_be_numbers_of_numpys(limits, round_machine):
    convir.compile(*net(), conv="auto", **limits)


def test_limits_that_a_pipeline_ignores_are_named():
    with pytest.raises(ConvirError, match="so memory_limit= would be ignored"):
        convir.compile(*net(), passes=convir.pipeline(), memory_limit=10)
