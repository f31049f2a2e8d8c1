"""The source that is written, as text."""

from __future__ import annotations

import textwrap

from support.generated import function_of

from convir.ir import TensorType, ops
from convir.loops import Schedule
from convir.loops.emit import Writer


def body(source: str) -> str:
    """The statements after the views."""
    lines = textwrap.dedent("\n".join(source.splitlines()[1:])).splitlines()
    return "\n".join(lines[next(i for i, line in enumerate(lines) if line.startswith("# loops")) + 1 :]) + "\n"


def written(op, types, schedule: Schedule | None = None) -> str:
    chosen = None if schedule is None else lambda nest: schedule
    return body(function_of(op, [TensorType(shape) for shape in types], schedule=chosen).source)


def test_the_whole_function():
    source = function_of(ops.Relu(), [TensorType((2, 10))]).source
    assert source == textwrap.dedent(
        '''\
        def relu_loops(addresses):
            """Relu()"""
            input_in = float32s(addresses[0], 20)  # f32[2,10]
            out0 = float32s(addresses[1], 20)  # f32[2,10]
            # loops j; vector j by 8; block j x 2; unrolled none
            j = 0
            t0 = load8(input_in, j)
            store8(out0, j, maximum(t0, splat8(real(0.0))))
            t1 = load8(input_in, j + 8)
            store8(out0, j + 8, maximum(t1, splat8(real(0.0))))
            j = 12
            t0 = load8(input_in, j)
            store8(out0, j, maximum(t0, splat8(real(0.0))))
        '''
    )


def test_the_last_vector_begins_early_enough():
    """Points are computed twice rather than one by one."""
    assert written(ops.Neg(), [(20,)], Schedule(("j",), "j", 8)) == textwrap.dedent(
        """\
        for j_ in range(0, 20, 8):
            j = min(j_, 12)
            t0 = load8(input_in, j)
            store8(out0, j, (-t0))
        """
    )


def test_a_block_of_sums_shares_its_loads():
    schedule = Schedule(("i", "j"), "j", 4, (("i", 2), ("j", 2)))
    assert written(ops.MatMul(), [(4, 6), (6, 16)], schedule) == textwrap.dedent(
        """\
        for i in range(0, 4, 2):
            for j in range(0, 16, 8):
                a0 = splat4(real(0.0))
                a1 = splat4(real(0.0))
                a2 = splat4(real(0.0))
                a3 = splat4(real(0.0))
                for r in range(6):
                    at0 = 6*i + r
                    at1 = j + 16*r
                    t0 = splat4(a_in[at0])
                    t1 = load4(b_in, at1)
                    a0 = fma(t0, t1, a0)
                    t2 = load4(b_in, at1 + 4)
                    a1 = fma(t0, t2, a1)
                    t3 = splat4(a_in[at0 + 6])
                    a2 = fma(t3, t1, a2)
                    a3 = fma(t3, t2, a3)
                at2 = 16*i + j
                store4(out0, at2, a0)
                store4(out0, at2 + 4, a1)
                store4(out0, at2 + 16, a2)
                store4(out0, at2 + 20, a3)
        """
    )


def test_what_fills_no_block_is_a_smaller_one():
    assert written(ops.Neg(), [(5,)], Schedule(("j",), block=(("j", 2),))) == textwrap.dedent(
        """\
        for j in range(0, 4, 2):
            t0 = input_in[j]
            out0[j] = (-t0)
            t1 = input_in[j + 1]
            out0[j + 1] = (-t1)
        j = 4
        t0 = input_in[j]
        out0[j] = (-t0)
        """
    )


def test_a_reduction_in_vectors_is_added_across_and_finished_one_by_one():
    assert written(ops.Max((1,)), [(3, 6)], Schedule(("i",), "j", 4)) == textwrap.dedent(
        """\
        for i in range(3):
            a0 = splat4(-infinity)
            j = 0
            at0 = 6*i + j
            t0 = load4(input_in, at0)
            a0 = maximum(a0, t0)
            a0 = largest4(a0)
            for j in range(4, 6):
                at1 = 6*i + j
                t1 = input_in[at1]
                a0 = maximum(a0, t1)
            out0[i] = a0
        """
    )


def test_an_unrolled_reduction_starts_with_its_first_term():
    assert written(ops.MatMul(), [(1, 2), (2, 3)], Schedule(("j",), unroll=("r",))) == textwrap.dedent(
        """\
        for j in range(3):
            t0 = a_in[0]
            t1 = b_in[j]
            a0 = (t0 * t1)
            t2 = a_in[1]
            t3 = b_in[j + 3]
            a0 = fma(t2, t3, a0)
            out0[j] = a0
        """
    )


def test_what_another_tap_needs_again_is_loaded_again():
    """Sums take the registers; what a tap has loaded is not kept for the next."""
    op = ops.AvgPool2dTaps(kernel_size=(1, 2), divisor_override=1)
    schedule = Schedule(("n",), block=(("n", 2),), unroll=("l",))
    assert written(op, [(1, 1, 1, 3)], schedule).startswith(
        textwrap.dedent(
            """\
            n = 0
            t0 = input_in[n]
            a0 = t0
            t1 = input_in[n + 1]
            a1 = t1
            t2 = input_in[n + 1]
            a0 = a0 + t2
            t3 = input_in[n + 2]
            a1 = a1 + t3
            """
        )
    )


def test_class_indices_become_numbers_to_compare_with():
    source = function_of(ops.CrossEntropy(), [TensorType((2, 3)), TensorType((2,), "int32")]).source
    assert "target_in = int32s(addresses[1], 2)  # i32[2]" in source
    assert "= real(target_in[" in source


def test_loops():
    out = Writer()
    for start, stop, step in ((0, 5, 1), (2, 5, 1), (0, 6, 2), (4, 6, 2), (3, 4, 1)):
        with out.loop("i", start, stop, step):
            out.line("pass")
    assert [line for line in out.lines if "pass" not in line] == [
        "for i in range(5):",
        "for i in range(2, 5):",
        "for i in range(0, 6, 2):",
        "i = 4",
        "i = 3",
    ]


def test_names_are_given_out_once_until_they_are_free_again():
    out = Writer()
    assert [out.fresh("a"), out.fresh("t"), out.fresh("a")] == ["a0", "t0", "a1"]
    names = out.names()
    assert out.fresh("a") == "a2"
    out.reuse(names)
    assert out.fresh("a") == "a2"
