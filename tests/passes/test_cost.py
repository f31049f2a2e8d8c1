"""Every op has a cost rule, and each rule is what counting by hand gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from convir.ir import OPS, Builder, Node, Op, TensorType, Value, ops
from convir.ir.ops import Literal
from convir.passes.cost import NO_WORK, RULES, Cost, Work, cost_of, cost_rule, traffic, work_of

BUILT_IN = sorted((op for op in OPS.values() if op.__module__.startswith("convir.ir.ops.")), key=lambda op: op.name)


@dataclass(frozen=True)
class Unknown(Op):
    """Not registered: subclasses without ``name`` of their own stay out of OPS."""

    operand_names = ("input",)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands


def node_of(op: Op, *shapes: tuple[int, ...], dtypes: tuple[str, ...] = ()):
    builder = Builder("one")
    dtypes = dtypes or ("float32",) * len(shapes)
    operands = [builder.input(f"x{i}", TensorType(s, d)) for i, (s, d) in enumerate(zip(shapes, dtypes, strict=True))]
    builder.emit(op, *operands)
    return builder.nodes[-1]


def cost(op: Op, *shapes: tuple[int, ...], dtypes: tuple[str, ...] = ()) -> Cost:
    return work_of(node_of(op, *shapes, dtypes=dtypes)).cost


@pytest.mark.parametrize("op_class", BUILT_IN, ids=lambda op: op.name)
def test_every_op_has_a_rule_in_the_module_with_its_stem(op_class):
    assert op_class in RULES, f"write a cost rule for {op_class.__name__}"
    stem = op_class.__module__.rsplit(".", 1)[-1]
    assert RULES[op_class].__module__ == f"convir.passes.cost.{stem}"
    assert RULES[op_class].__doc__, "the rule's docstring states its convention"


def test_the_rules_are_for_ops_that_exist():
    assert set(RULES) <= set(OPS.values())


def test_an_op_with_two_rules_is_refused():
    with pytest.raises(ValueError, match="Relu has two cost rules"):
        cost_rule(ops.Relu)(lambda op, operands, results: Cost())


def test_an_op_without_a_rule_has_no_cost_rather_than_none():
    kind = TensorType((2, 3))
    assert cost_of(Unknown(), (kind,), (kind,)) is None


def test_a_subclass_does_not_inherit_a_cost():
    class FasterRelu(ops.Relu):
        pass

    kind = TensorType((2, 3))
    assert cost_of(FasterRelu(), (kind,), (kind,)) is None


def test_costs_add_up_and_a_mac_is_two_flops():
    total = Cost(macs=10, pointwise=3) + Cost(macs=5)
    assert total == Cost(15, 3)
    assert total.flops == 30


def test_a_mac_multiplies_once_unless_the_rule_says_otherwise():
    assert Cost(macs=10).multiplications == 10
    fewer = Cost(macs=10, multiplications=3)
    assert (fewer + Cost(5, 1)) == Cost(15, 1, 8) != Cost(15, 1)
    assert Cost(macs=10, multiplications=0).multiplications == 0
    work = Work.total([Work(fewer), Work(Cost(1))])
    assert (work.multiplications, work.counted_multiplications, work.to_json()["multiplications"]) == (4, 4, 4)
    unknown = Work(fewer, uncounted=("mystery",))
    assert (unknown.counted_multiplications, unknown.to_json()["multiplications"]) == (None, None)
    assert unknown.totals()["multiplications"] == 3


CONVOLUTIONS = [
    # batch, channels, size, filters, kernel, stride, padding, dilation, groups
    (1, 1, (5, 5), 1, (3, 3), (1, 1), (0, 0), (1, 1), 1),
    (2, 3, (7, 6), 4, (3, 2), (2, 1), (1, 1), (1, 1), 1),
    (2, 4, (9, 9), 6, (3, 3), (2, 3), (2, 1), (2, 2), 2),
    (1, 4, (5, 5), 8, (3, 3), (1, 1), (1, 1), (1, 1), 4),  # depthwise, multiplier 2
    (3, 2, (4, 4), 5, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (1, 2, (4, 5), 3, (4, 5), (1, 1), (0, 0), (1, 1), 1),  # kernel = input
]


def loop_nest_macs(batch, channels, size, filters, kernel, stride, padding, dilation, groups):
    """The loop nest itself, counting."""
    rows, columns = ((size[a] + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in (0, 1))
    nest = (batch, filters, rows, columns, channels // groups, *kernel)
    return sum(1 for _ in product(*map(range, nest)))


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_and_its_gradients_count_the_loop_nest(case):
    batch, channels, size, filters, kernel, stride, padding, dilation, groups = case
    image, weight = (batch, channels, *size), (filters, channels // groups, *kernel)
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    forward = node_of(ops.Conv2d(**window), image, weight)
    result = forward.outputs[0].type
    macs = loop_nest_macs(*case)
    assert work_of(forward).cost == Cost(macs)
    assert cost(ops.Conv2dGradWeight(**window, kernel_size=kernel), result.shape, image) == Cost(macs)
    assert cost(ops.Conv2dGradInput(**window, input_size=size), result.shape, weight) == Cost(macs)
    fused = cost(ops.Conv2d(**window, activation="sigmoid"), image, weight, (filters,))
    assert fused == Cost(macs, pointwise=5 * result.size)


@pytest.mark.parametrize(
    ("op", "shapes", "expected"),
    [
        (ops.MatMul(), [(3, 5), (5, 7)], Cost(105)),
        (ops.MatMul(transpose_a=True), [(5, 3), (5, 7)], Cost(105)),
        (ops.MatMul(transpose_b=True), [(2, 4, 6, 5), (7, 5)], Cost(2 * 4 * 6 * 5 * 7)),  # middle dimensions count
        (ops.MatMul(), [(4, 1, 3, 5), (2, 5, 7)], Cost(4 * 2 * 105)),  # batches broadcast
        (ops.MatMul(activation="relu"), [(3, 5), (5, 7), (7,)], Cost(105, 2 * 21)),
        (ops.MatMul(activation="tanh"), [(3, 5), (5, 7)], Cost(105, 21)),
    ],
)
def test_matmul(op, shapes, expected):
    assert cost(op, *shapes) == expected


POINTWISE = [
    (ops.Relu(), [(2, 3)], 6),
    (ops.Sigmoid(), [(2, 3)], 4 * 6),
    (ops.Tanh(), [(2, 3)], 6),
    (ops.ReluGrad(), [(2, 3), (2, 3)], 6),
    (ops.SigmoidGrad(), [(2, 3), (2, 3)], 3 * 6),
    (ops.TanhGrad(), [(2, 3), (2, 3)], 3 * 6),
    (ops.Add(), [(2, 1), (3,)], 6),
    (ops.Sub(), [(2, 3), ()], 6),
    (ops.Mul(), [(2, 3), (2, 3)], 6),
    (ops.Div(), [(2, 3), (3,)], 6),
    (ops.Neg(), [(2, 3)], 6),
    (ops.Exp(), [(2, 3)], 6),
    (ops.Log(), [(2, 3)], 6),
    (ops.Sqrt(), [(2, 3)], 6),
    (ops.Sum((1,)), [(2, 5)], 2 * 4),
    (ops.Max((0, 1)), [(2, 5)], 9),
    (ops.Mean((1,)), [(2, 5)], 2 * 4 + 2),
    (ops.MaxGrad((1,)), [(2,), (2, 5), (2,)], 10 + 8 + 2 + 10),
    (ops.MaxPool2d((2, 2), kernel_size=(2, 3)), [(1, 2, 6, 7)], 2 * 9 * 5),
    (ops.MaxPool2dTaps((2, 2), kernel_size=(2, 3), layout="CHWN"), [(2, 6, 7, 1)], 2 * 9 * 5),
    (ops.AvgPool2d((2, 2), kernel_size=(2, 3)), [(1, 2, 6, 7)], 2 * 9 * 6),
    (ops.AvgPool2dTaps((2, 2), kernel_size=(2, 3), layout="CHWN"), [(2, 6, 7, 1)], 2 * 9 * 6),
    (ops.MaxPool2d((2, 2), kernel_size=(2, 3), activation="relu"), [(1, 2, 6, 7), (2,)], 2 * 9 * (5 + 1 + 1)),
    (ops.MaxPool2d((2, 2), kernel_size=(2, 3), activation="sigmoid"), [(1, 2, 6, 7)], 2 * 9 * (5 + 4)),
    (ops.MaxPool2dGrad((2, 2), kernel_size=(2, 2)), [(1, 2, 3, 3), (1, 2, 6, 6), (1, 2, 3, 3)], 18 * 5),
    (ops.MaxPool2dGrad((2, 2), kernel_size=(2, 2)), [(1, 2, 3, 3), (1, 2, 6, 6)], 18 * (5 + 3)),
    (
        ops.MaxPool2dGradTaps((2, 2), kernel_size=(2, 2), layout="CHWN"),
        [(2, 3, 3, 1), (2, 6, 6, 1), (2, 3, 3, 1)],
        18 * 5,
    ),
    (ops.AvgPool2dGrad((2, 2), kernel_size=(2, 2), input_size=(6, 6)), [(1, 2, 3, 3)], 18 * 5),
    (ops.AvgPool2dGradTaps((2, 2), kernel_size=(2, 2), input_size=(6, 6), layout="CHWN"), [(2, 3, 3, 1)], 18 * 5),
    (ops.Im2col((3, 3)), [(2, 5, 5, 4)], 0),
    (ops.Col2im((3, 3), input_size=(5, 5)), [(18, 36)], 18 * 36),
    (ops.FlipWeight(), [(4, 2, 3, 3)], 0),
    (ops.Dilate2d((2, 2)), [(2, 3, 3, 4)], 0),
    (ops.DepthToSpace((2, 1)), [(4, 2, 3, 3)], 0),
    (ops.SpaceToDepth((2, 3)), [(4, 2, 3, 3)], 0),
    (ops.ToeplitzWeight((3, 2), (2, 1)), [(2, 3, 3, 2)], 0),
    (ops.ToeplitzWeightGrad((3, 2), (2, 1)), [(12, 2, 7, 3)], 5 * 2 * 2 * 3 * 2),
    (ops.Maxout(4, "relu"), [(8, 3), (2,)], (3 + 2) * 6),
    (ops.WinogradInput(), [(2, 4, 6, 3)], 12 * 32),
    (ops.WinogradOutput((2, 2), (3, 3), (1, 2), "relu"), [(16, 2, 6), (2,)], 12 * 24 + 2 * 48),
    (ops.WinogradOutputGrad(), [(2, 2, 4, 3)], 12 * 12),
    (ops.WinogradWeight(), [(2, 3, 3, 3)], 6 * 70),
    (ops.WinogradWeightGrad(), [(16, 2, 3)], 6 * 77),
    (ops.MaxoutGrad(4), [(2, 3), (8, 3)], (5 + 3) * 6),
    (ops.MaxoutGrad(4), [(2, 3), (8, 3), (2, 3)], 5 * 6),
    (ops.Reshape((6,)), [(2, 3)], 0),
    (ops.Flatten(0), [(2, 3)], 0),
    (ops.Transpose((1, 0)), [(2, 3)], 0),
    (ops.BroadcastTo((4, 2, 3)), [(2, 3)], 0),
    (ops.Pad2d(((1, 1), (0, 0))), [(1, 1, 2, 3)], 0),
    (ops.Crop2d(((1, 1), (0, 0))), [(1, 1, 4, 3)], 0),
    (ops.Slice2d((2, 1)), [(1, 4, 3, 1)], 0),
    (ops.Slice2dGrad((2, 1), (4, 3)), [(1, 2, 3, 1)], 0),
    (ops.Constant(Literal(np.ones(3, "float32"))), [], 0),
    (ops.DropoutMask(0.5), [(2, 3)], 12),
]


@pytest.mark.parametrize(("op", "shapes", "expected"), POINTWISE, ids=lambda part: getattr(part, "name", None))
def test_pointwise_work(op, shapes, expected):
    assert cost(op, *shapes) == Cost(pointwise=expected)


#: Convolutions of (2, 4, 5, 3) and 4 filters of 3x2, by what computes them: the result is (4, 2, 4, 3). A run is of two
#: rows of windows and the column between them.
_IMAGE, _RESULT, _RUN = (2, 4, 5, 3), (4, 2, 4, 3), (2 * 4 + 1) * 3
_OIHW, _HWIO, _DEPTH = (4, 2, 3, 2), (3, 2, 4, 2), (4, 1, 3, 2)
#: 7 x 6 positions: 4 frequencies of rows, twice 4 real products; then 6 x 5 complex ones.
_PLANES = 2 * 3 * (2 * 4 * 4 * 5 + 4 * 6 * 5 * 4)
_PATCHES = {"channels": 2, "columns": 5}

CONVOLUTIONS = [
    (ops.DepthwiseConv2d(activation="relu"), [_IMAGE, _DEPTH, (4,)], Cost(4 * 6 * _RUN, 2 * 96)),
    (ops.DepthwiseConv2dGradInput(multiplier=2), [_RESULT, _DEPTH], Cost(4 * 6 * _RUN)),
    (ops.DepthwiseConv2dGradWeight(kernel_size=(3, 2)), [_RESULT, _IMAGE], Cost(6 * 96)),
    (ops.ShiftedMatMul(rows=2, activation="tanh"), [_IMAGE, _HWIO], Cost(48 * _RUN, 5 * 4 * _RUN + 96)),
    (ops.ShiftedMatMul(rows=1), [_IMAGE, _HWIO], Cost(48 * 24, 5 * 4 * 24)),
    (ops.ShiftedMatMulGradInput(rows=2), [_RESULT, _HWIO], Cost(48 * _RUN, 6 * 2 * _RUN)),
    (ops.ShiftedMatMulGradWeight(rows=1, kernel_size=(3, 2)), [_RESULT, _IMAGE], Cost(48 * 24, 48)),
    (ops.Im2colMatMul(**_PATCHES, activation="relu"), [_IMAGE, _OIHW, (4,)], Cost(96 * 12, 2 * 96)),
    (ops.Im2colMatMulGradInput(**_PATCHES, input_size=(4, 5)), [_RESULT, _OIHW], Cost(96 * 12, 12 * 24)),
    (ops.Im2colMatMulGradWeight(**_PATCHES, kernel_size=(3, 2)), [_RESULT, _IMAGE], Cost(96 * 12, 7 * 48)),
    # Constants multiply, in all transforms.
    (ops.Dft2d((7, 6)), [_IMAGE], Cost(_PLANES, multiplications=0)),
    (ops.Idft2d((7, 6), samples=(4, 5)), [(4, 6, 2, 3, 2)], Cost(_PLANES, multiplications=0)),
    (ops.Idft2d((1, 1), activation="sigmoid"), [(1, 1, 2, 3, 2), (2,)], Cost(6 * (2 + 4), 6 * (1 + 4), 0)),
    (ops.ComplexMatMul(), [(5, 2, 4, 2), (5, 4, 3, 2)], Cost(4 * 5 * 2 * 4 * 3)),
    (ops.ComplexMatMul(transpose_a=True), [(5, 4, 2, 2), (5, 4, 3, 2)], Cost(4 * 5 * 2 * 4 * 3)),
]


@pytest.mark.parametrize(("op", "shapes", "expected"), CONVOLUTIONS, ids=lambda part: getattr(part, "name", None))
def test_convolutions_as_they_are_computed(op, shapes, expected):
    assert cost(op, *shapes) == expected


def test_cross_entropy():
    rows, classes = 5, 7
    types = ((rows, classes), (rows,))
    softmax = (classes - 1) + classes + classes + (classes - 1)  # maximum, subtract, exp, sum
    loss = rows * (softmax + 3) + (rows - 1) + 1  # log, add, subtract; mean
    assert cost(ops.CrossEntropy(), *types, dtypes=("float32", "int64")) == Cost(pointwise=loss)
    grad = rows * (softmax + classes + 1 + classes) + 1  # divide, subtract at the target, scale; grad / N
    assert cost(ops.CrossEntropyGrad(), (), *types, dtypes=("float32", "float32", "int64")) == Cost(pointwise=grad)
    types = ((classes, rows), (rows,))
    assert cost(ops.CrossEntropy(0), *types, dtypes=("float32", "int64")) == Cost(pointwise=loss)
    assert cost(ops.CrossEntropyGrad(0), (), *types, dtypes=("float32", "float32", "int64")) == Cost(pointwise=grad)


def test_a_region_costs_what_its_ops_cost():
    builder = Builder("region")
    image, weight = builder.input("x", TensorType((2, 5, 5, 3))), builder.input("w", TensorType((4, 2, 3, 3)))
    conv = builder.emit(ops.Conv2dDirect(), image, weight)
    region = ops.Region(builder.finish([builder.emit(ops.Relu(), conv)], {}))
    convolution = cost(ops.Conv2dDirect(), (2, 5, 5, 3), (4, 2, 3, 3))
    assert convolution == Cost(macs=4 * 3 * 3 * 3 * 2 * 9)
    assert cost(region, (2, 5, 5, 3), (4, 2, 3, 3)) == Cost(convolution.macs, pointwise=4 * 3 * 3 * 3)


def test_every_op_is_tested_here():
    tested = {type(op) for op, *_ in (*POINTWISE, *CONVOLUTIONS)}
    tested |= {
        ops.Conv2d,
        ops.Conv2dGradWeight,
        ops.Conv2dGradInput,
        ops.Conv2dDirect,
        ops.Conv2dDirectGradWeight,
        ops.MatMul,
        ops.CrossEntropy,
        ops.CrossEntropyGrad,
        ops.Region,
    }
    assert [op.__name__ for op in BUILT_IN if op not in tested] == []


@pytest.mark.parametrize(
    ("op", "shapes", "expected"),
    [
        (ops.MatMul(), [(3, 5), (5, 7)], (4 * (15 + 35), 4 * 21)),
        (ops.Add(), [(2, 1), (3,)], (4 * (2 + 3), 4 * 6)),  # a broadcast operand is read once
        (ops.Reshape((6,)), [(2, 3)], (0, 0)),
        (ops.Flatten(0), [(2, 3)], (0, 0)),
        (ops.Transpose((1, 0)), [(2, 3)], (24, 24)),
        (ops.BroadcastTo((4, 2, 3)), [(2, 3)], (24, 96)),
        (ops.Im2col((3, 3)), [(2, 5, 5, 4)], (4 * 200, 4 * 18 * 36)),
        (ops.Pad2d(((1, 1), (0, 0))), [(1, 1, 2, 3)], (24, 48)),
        (ops.Crop2d(((1, 1), (0, 0))), [(1, 1, 4, 3)], (24, 24)),  # only what it keeps
        (ops.Constant(Literal(np.ones(3, "float32"))), [], (0, 0)),
        (ops.DropoutMask(0.5), [(2, 3)], (0, 24)),  # takes the type only
    ],
    ids=lambda part: getattr(part, "name", None),
)
def test_bytes(op, shapes, expected):
    assert traffic(node_of(op, *shapes)) == expected


def test_bytes_follow_the_element_type():
    assert traffic(node_of(ops.Relu(), (2, 3), dtypes=("float64",))) == (48, 48)


def test_a_value_that_is_an_operand_twice_is_read_once():
    builder = Builder("square")
    x = builder.input("x", TensorType((2, 3)))
    builder.emit(ops.Mul(), x, x)
    assert traffic(builder.nodes[0]) == (24, 24)


def test_work_adds_up_and_remembers_what_it_could_not_count():
    known = Work(Cost(4, 1), 10, 6, 1)
    unknown = Work(Cost(), 5, 5, 1, ("mystery",))
    total = Work.total([known, unknown])
    assert total == Work(Cost(4, 1), 15, 11, 2, ("mystery",))
    assert (total.macs, total.counted_macs) == (4, None)
    assert (known.intensity, total.intensity, NO_WORK.intensity) == (9 / 16, None, None)
    assert Work.total([]) == NO_WORK


def test_an_op_without_a_rule_still_moves_bytes():
    kind = TensorType((2, 3))
    node = Node(Unknown(), (Value("x", kind),), (Value("y", kind),))
    assert work_of(node) == Work(Cost(), 24, 24, 1, ("y",))
