"""Which schedules are chosen, that they fit their nests, and what is said of those that do not."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import PROCESSORS, function_of, operands_of, program_of
from support.loop_cases import LOOP_OPS, loop_cases, types_of
from support.schedules import vector_axes

from convir.ir import ConvirError, Op, TensorType, ops
from convir.ir.ops import CHWN
from convir.loops import Operand, Processor, Schedule, write_function
from convir.loops.affine import Axis
from convir.loops.choose import choose_schedule
from convir.loops.emit import Writer, emit_nest
from convir.loops.expr import Reduce, add, mul
from convir.loops.nest import Nest, simplified
from convir.runtime.native.vectors import LANES


def chosen(op: Op, *shapes: tuple[int, ...], processor: Processor = PROCESSORS["avx2"]) -> Schedule:
    """The schedule of the only nest."""
    (schedule,) = function_of(op, [TensorType(shape) for shape in shapes], processor).schedules
    return schedule


CONV1 = ops.Conv2dDirect(), (1, 32, 32, 64), (6, 1, 5, 5), (6,)
CONV2 = ops.Conv2dDirect(), (6, 14, 14, 64), (16, 6, 5, 5), (16,)
FC1 = ops.MatMul(), (120, 400), (400, 64), (120, 1)


def test_lenet5_on_16_registers_of_8_lanes():
    """Twelve sums hide the latency and leave registers for what is loaded: 6 x 16 is the shape of BLIS."""
    conv1, conv2, fc1 = chosen(*CONV1), chosen(*CONV2), chosen(*FC1)
    for conv in (conv1, conv2):
        assert (conv.vector, conv.width, prod(conv.blocks.values())) == ("n", 8, 12)
    assert conv2.blocks["o"] == 6
    assert (fc1.vector, fc1.width, dict(fc1.block)) == ("j", 8, {"i": 6, "j": 2})


def test_lenet5_on_32_registers():
    """At least as many sums as hide the latency; more where they save something."""
    for work in (CONV1, CONV2, FC1):
        points = prod(chosen(*work, processor=PROCESSORS["avx512"]).blocks.values())
        assert 12 <= points <= 30
        assert chosen(*work, processor=PROCESSORS["avx512"]).width == 16


def test_gradients_of_weights_run_along_the_batch():
    for channels, filters in ((1, 6), (6, 16)):
        op = ops.Conv2dDirectGradWeight(kernel_size=(5, 5))
        schedule = chosen(op, (filters, 10, 10, 64), (channels, 14, 14, 64))
        assert (schedule.vector, schedule.width) == ("n", 8)
        assert 8 <= prod(schedule.blocks.values()) <= 12


def test_neighbours_that_are_apart_share_no_vector():
    """A transposed copy is done one by one; without a batch to run along, so is a pooling."""
    assert chosen(ops.Transpose((1, 0)), (40, 40)).vector == ""
    assert chosen(ops.MaxPool2dTaps((2, 2), kernel_size=(2, 2)), (1, 1, 8, 8)).vector in ("", "l")
    assert chosen(ops.MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout=CHWN), (1, 8, 8, 16)).vector == "n"


def test_a_copy_to_another_order_stores_lines():
    """Sixteen numbers at a time; eight where what is read shares a set of the first cache, which has eight ways."""
    turned = chosen(ops.Transpose((3, 0, 1, 2)), (3, 20, 20, 4))
    assert (turned.vector, dict(turned.block), turned.order) == ("", {"n": 16}, ("n", "c"))
    apart = chosen(ops.Transpose((1, 2, 3, 0)), (40, 4, 16, 16))
    assert (apart.vector, dict(apart.block), apart.order) == ("", {"n": 8}, ("n", "w"))


def test_sums_that_are_added_to_take_whole_vectors():
    """Nothing may be added twice, as it would where the last vector begins early enough to end in time."""
    sums = Operand("sums", TensorType((3, 20)))
    a, b = Operand("a", TensorType((3, 5))), Operand("b", TensorType((5, 20)))
    product = Reduce("add", ("r",), mul(a.at("i", "r"), b.at("r", "j")))
    store = sums.store(("i", "j"), add(sums.at("i", "j"), product))
    nest = Nest((Axis("i", 3), Axis("j", 20)), (Axis("r", 5),), (store,))
    schedule = choose_schedule(nest, PROCESSORS["avx2"], 4, frozenset({"sums", "a", "b"}))
    assert (schedule.vector, schedule.width) == ("j", 4)
    with pytest.raises(ConvirError, match="points of axis j twice, with vectors of 8 of 20, and the nest reads what"):
        emit_nest(nest, Schedule(("i", "j"), "j", 8), frozenset({"sums", "a", "b"}), Writer())


def test_short_rows_take_narrow_vectors():
    widths = [chosen(ops.Relu(), (3,) * 0 + (size,)).width for size in (1, 2, 3, 4, 7, 8, 9, 40)]
    assert widths == [1, 2, 2, 4, 4, 8, 8, 8]


@pytest.mark.parametrize("op_type", LOOP_OPS, ids=lambda op: op.name)
@given(data=st.data())
@settings(max_examples=20)
def test_what_is_chosen_fits_the_nest_and_the_registers(op_type, data):
    op, arrays = data.draw(loop_cases(op_type, data.draw(st.sampled_from(["float32", "float64"]))))
    processor = PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]))]
    program = program_of(op, types_of(arrays))
    if program is None:
        return
    given_, made = operands_of(op, types_of(arrays))
    floats = frozenset(o.name for o in (*given_, *made) if o.type.is_float) | {name for name, _ in program.temporaries}
    for nest in map(simplified, program.nests):
        schedule = choose_schedule(nest, processor, made[0].type.itemsize, floats)
        assert sorted(schedule.order) == sorted(axis.name for axis in nest.axes)
        assert schedule.width in (1, *LANES)
        assert schedule.width * made[0].type.itemsize <= processor.vector_bytes
        if schedule.vector:
            assert schedule.vector in vector_axes(nest)
            lanes = schedule.blocks.get(schedule.vector, 1) * schedule.width
            assert lanes <= nest.extent(schedule.vector)
        if any(isinstance(part, Reduce) for part in nest.parts()):
            assert prod(schedule.blocks.values()) <= processor.vector_registers - 2
        assert set(schedule.unroll) <= {axis.name for axis in nest.reduced} - {schedule.vector}


_MATMUL = ops.MatMul(), [TensorType((4, 3)), TensorType((3, 5))]

BAD = {
    "axis left out": (Schedule(("i",)), r"orders \['i'\], but the nest has axes \['i', 'j'\]"),
    "axis twice": (Schedule(("i", "j", "j")), "orders"),
    "reduced axis ordered": (Schedule(("i", "j", "r")), "orders"),
    "vectors along nothing": (Schedule(("i", "j"), "", 4), "vectors along ''"),
    "vectors along no axis": (Schedule(("i", "j"), "q", 4), "vectors along 'q'"),
    "too wide": (Schedule(("i", "j"), "j", 8), "8 points of axis j together, of 5"),
    "too many vectors": (Schedule(("i", "j"), "j", 4, (("j", 2),)), "8 points of axis j together, of 5"),
    "reduction too wide": (Schedule(("i", "j"), "r", 4), "4 points of axis r together, of 3"),
    "block too large": (Schedule(("i", "j"), block=(("i", 5),)), "5 points of axis i together, of 4"),
    "empty block": (Schedule(("i", "j"), block=(("i", 0),)), "0 points of axis i"),
    "block of a reduced axis": (Schedule(("i", "j"), block=(("r", 2),)), "blocks {'r': 2}"),
    "unrolled point axis": (Schedule(("i", "j"), unroll=("i",)), r"unrolls \['i'\]"),
    "unrolled vector axis": (Schedule(("i", "j"), "r", 2, unroll=("r",)), r"unrolls \['r'\]"),
}


@pytest.mark.parametrize(("schedule", "message"), BAD.values(), ids=BAD.keys())
def test_a_schedule_that_does_not_fit_is_refused(schedule, message):
    with pytest.raises(ConvirError, match=message):
        function_of(*_MATMUL, schedule=lambda nest: schedule)


def test_text():
    schedule = Schedule(("o", "n"), "n", 8, (("o", 6), ("n", 2)), ("l",))
    assert str(schedule) == "loops o n; vector n by 8; block o x 6, n x 2; unrolled l"
    assert str(Schedule(())) == "loops none; vector none; block none; unrolled none"


def test_the_same_source_every_time():
    given_, made = operands_of(*_MATMUL)
    program = program_of(*_MATMUL)
    texts = {write_function("f", program, [*given_, *made], Processor()).source for _ in range(3)}
    assert len(texts) == 1
