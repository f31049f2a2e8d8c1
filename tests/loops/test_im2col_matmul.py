"""Blocks of the patch matrix: channels in parts, sums beside them, and what they take of memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.generated import PROCESSORS, function_of, program_of
from support.loop_cases import loop_cases, types_of
from support.loop_checks import assert_plain, assert_written_down

from convir.ir import TensorType, ops
from convir.loops.nest import Together
from convir.loops.rules import im2col_matmul as rule
from convir.runtime.native.vectors import LANES


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that small convolutions are divided in every way."""
    monkeypatch.setattr(rule, "TERMS", 6)
    monkeypatch.setattr(rule, "FEWEST", 20)
    monkeypatch.setattr(rule, "MOST", 30)


def buffers(op: ops.Im2colMatMul, *shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of the temporaries."""
    program = program_of(op, [TensorType(shape) for shape in shapes])
    assert program is not None
    return {name: type.shape for name, type in program.temporaries}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_division_computes_the_same(small, data):
    op, arrays = data.draw(loop_cases(ops.Im2colMatMul))
    assert_written_down(op, arrays)
    assert_plain(op, arrays, PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]))])


def test_channels_in_parts_with_what_is_left(small):
    """Five channels by two of three taps: two parts of two, one of one; columns that no window fills."""
    op = ops.Im2colMatMul(channels=5, columns=12)
    shapes = (5, 3, 5, 3), (2, 5, 1, 3), (2,)
    program = program_of(op, [TensorType(shape) for shape in shapes])
    clear, group = program.parts
    assert [store.operand for store in clear.stores] == ["patches"]
    found = [part.axis.extent for part in together(group) if part.axis.name == "part"]
    assert found == [2, 1]
    assert buffers(op, *shapes) == {"patches": (6, 32), "sums": (2, 32)}


def together(part: object) -> list[Together]:
    """Every shared loop."""
    if not isinstance(part, Together):
        return []
    return [part, *(each for inner in part.parts for each in together(inner))]


#: ResNet-18's layers of stride 2, with the channels and columns of the default budget, for four images.
LAYERS = {
    "64 to 128": ((64, 57, 57, 4), (128, 64, 3, 3), 113, {"patches": (576, 112)}),
    "128 to 256": ((128, 29, 29, 4), (256, 128, 3, 3), 56, {"patches": (288, 112), "sums": (256, 112)}),
    "256 to 512": ((256, 15, 15, 4), (512, 256, 3, 3), 28, {"patches": (288, 200), "sums": (512, 200)}),
}


@pytest.mark.parametrize(("image", "weight", "columns", "expected"), LAYERS.values(), ids=LAYERS.keys())
def test_blocks_of_resnet18(image, weight, columns, expected):
    """Whole rows; all windows where the weight is large and windows are few; patches within the budget."""
    op = ops.Im2colMatMul((2, 2), channels=image[0], columns=columns)
    assert buffers(op, image, weight) == expected
    rows, pitch = expected["patches"]
    assert 4 * rows * pitch <= 2**18


@settings(max_examples=40)
@given(data=st.data())
def test_patches_take_no_more_than_was_said(data):
    """But for columns that fill the last vector."""
    op, arrays = data.draw(loop_cases(ops.Im2colMatMul))
    weight = types_of(arrays)[1]
    terms = weight.size // weight.shape[0]
    rows, pitch = buffers(op, *(array.shape for array in arrays))["patches"]
    assert rows * pitch <= max(terms * (-(-op.columns // rule.WHOLE) * rule.WHOLE), weight.shape[2] * weight.shape[3])


def test_no_point_is_added_twice(small):
    """Sums are read and written, so vectors divide their columns, where others begin again before the end."""
    op = ops.Im2colMatMul(channels=4, columns=5)
    types = [TensorType(shape) for shape in ((4, 3, 9, 3), (3, 4, 1, 3))]
    for name, processor in PROCESSORS.items():
        program = program_of(op, types)
        function = function_of(op, types, processor)
        for nest, schedule in zip(program.nests, function.schedules, strict=True):
            if nest.accumulates:
                assert schedule.width in LANES, name
                assert nest.extent("m") % schedule.width == 0
    assert any(nest.accumulates for nest in program.nests)


def test_the_batch_is_divided_where_a_pixel_is_too_long():
    op = replace(ops.Im2colMatMul(), channels=2, columns=5)
    assert buffers(op, (2, 3, 3, 12), (1, 2, 2, 2)) == {"patches": (8, 4)}
