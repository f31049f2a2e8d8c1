"""What Numba makes of :mod:`convir.runtime.native.vectors`: LLVM vector types and instructions.

A vector of 8 lanes is ``<8 x float>``, so a block of accumulators stays in registers and no
auto-vectoriser has to be persuaded. Importing this module registers everything with Numba.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, models, register_model, type_callable
from numba.np.arrayobj import populate_array

from convir.runtime.native import vectors

#: ``lower(context, builder, signature, values)`` emits instructions and returns their result.
Lower = Callable[[Any, Any, Any, Any], Any]


class Vector(types.Type):
    """``lanes`` numbers of one type, in a register."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"{dtype}x{lanes}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    """LLVM's vector of the same length."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.lanes))


def _register(function: Any, result: Callable[..., Any], lower: Callable[..., Any], *kinds: Any) -> None:
    """Teach Numba ``function``: ``result(*types)`` is its type, ``lower`` makes its code."""

    @type_callable(function)
    def typing(context: Any) -> Callable[..., Any]:
        return result

    lower_builtin(function, *kinds)(lower)


def _element(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """Pointer to an element."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [at])


def _load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    vector = context.get_value_type(signature.return_type)
    pointer = _element(context, builder, signature.args[0], values[0], values[1])
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = signature.args[0].dtype.bitwidth // 8
    return loaded


def _store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    pointer = _element(context, builder, signature.args[0], values[0], values[1])
    store = builder.store(values[2], builder.bitcast(pointer, values[2].type.as_pointer()))
    store.align = signature.args[0].dtype.bitwidth // 8
    return context.get_dummy_value()


def _splat(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    vector = context.get_value_type(signature.return_type)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, values[0], ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, undefined, lanes)


def _mangled(type: Any) -> str:
    """How LLVM's intrinsics spell a type: ``v8f32``."""
    if isinstance(type, ir.VectorType):
        return f"v{type.count}{_mangled(type.element)}"
    return "f32" if isinstance(type, ir.FloatType) else "f64"


def _intrinsic(builder: Any, name: str, result: Any, values: list[Any], flags: tuple[str, ...] = ()) -> Any:
    function_type = ir.FunctionType(result, [value.type for value in values])
    full = f"llvm.{name}.{_mangled(values[-1].type)}"
    function = builder.module.globals.get(full) or ir.Function(builder.module, function_type, full)
    return builder.call(function, values, fastmath=flags)


def _fma(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return _intrinsic(builder, "fmuladd", values[0].type, list(values))


def _sqrt(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return _intrinsic(builder, "sqrt", values[0].type, list(values))


def _maximum(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """``a if a > b or a is NaN else b``: NaN comes through from either side."""
    a, b = values
    larger = builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a))
    return builder.select(larger, a, b)


def _where(comparison: str) -> Lower:
    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a, b, then, other = values
        return builder.select(builder.fcmp_ordered(comparison, a, b), then, other)

    return lower


def _total(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """The order is LLVM's (halves, then quarters), the same at every run."""
    zero = ir.Constant(values[0].type.element, -0.0)
    return _intrinsic(builder, "vector.reduce.fadd", zero.type, [zero, values[0]], ("reassoc",))


def _largest(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes = [builder.extract_element(values[0], ir.Constant(ir.IntType(32), i)) for i in range(values[0].type.count)]
    result = lanes[0]
    for lane in lanes[1:]:
        result = _maximum(context, builder, signature, [result, lane])
    return result


def _by_lane(function: Any) -> Lower:
    """A function of Python's ``math``, which Numba knows, applied to each lane."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (argument,) = signature.args
        dtype = getattr(argument, "dtype", argument)
        typing = context.typing_context
        scalar = typing.resolve_function_type(typing.resolve_value_type(function), (dtype,), {})
        code = context.get_function(function, scalar)
        if not isinstance(argument, Vector):
            return code(builder, values)
        result = ir.Constant(values[0].type, ir.Undefined)
        for index in range(argument.lanes):
            place = ir.Constant(ir.IntType(32), index)
            lane = code(builder, [builder.extract_element(values[0], place)])
            result = builder.insert_element(result, lane, place)
        return result

    return lower


def _common(*operands: Any) -> Any:
    """The type of a function of equal types; None where Numba has to look further."""
    first = operands[0]
    equal = all(operand == first for operand in operands)
    return first if equal and isinstance(first, Vector | types.Float) else None


#: By number of arguments: Numba reads the signature.
_NUMBER: dict[int, Callable[..., Any]] = {
    1: lambda a: _common(a),
    2: lambda a, b: _common(a, b),
    3: lambda a, b, c: _common(a, b, c),
    4: lambda a, b, c, d: _common(a, b, c, d),
}


def _viewed(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """An array of what lies at an address; nobody owns it."""
    array_type = signature.return_type
    array = context.make_array(array_type)(context, builder)
    pointer = builder.inttoptr(values[0], array.data.type)
    itemsize = context.get_constant(types.intp, array_type.dtype.bitwidth // 8)
    populate_array(array, pointer, [values[1]], [itemsize], itemsize, meminfo=None)
    return array._getvalue()


def _register_view(name: str, function: Any) -> None:
    array = types.Array(getattr(types, name.removesuffix("s") if name != "bools" else "boolean"), 1, "C")

    def typed(address: Any, count: Any) -> Any:
        return array

    _register(function, typed, _viewed, types.Integer, types.Integer)


def _register_arithmetic() -> None:
    def lower(method: str) -> Lower:
        return lambda context, builder, signature, values: getattr(builder, method)(*values)

    def both(a: Any, b: Any) -> Any:
        return _common(a, b) if isinstance(a, Vector) else None

    instructions = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
    for function, method in instructions.items():
        _register(function, both, lower(method), Vector, Vector)
    _register(operator.neg, lambda a: a if isinstance(a, Vector) else None, lower("fneg"), Vector)


def _register_functions() -> None:
    for function, lower, count in (
        (vectors.fma, _fma, 3),
        (vectors.maximum, _maximum, 2),
        (vectors.where_equal, _where("=="), 4),
        (vectors.where_less, _where("<"), 4),
        (vectors.sqrt, _sqrt, 1),
        (vectors.exp, _by_lane(math.exp), 1),
        (vectors.log, _by_lane(math.log), 1),
        (vectors.tanh, _by_lane(math.tanh), 1),
    ):
        _register(function, _NUMBER[count], lower, *[types.Any] * count)


def _register_lanes(lanes: int) -> None:
    def loaded(array: Any, at: Any) -> Any:
        return Vector(array.dtype, lanes)

    def stored(array: Any, at: Any, value: Any) -> Any:
        return types.void

    def splatted(scalar: Any) -> Any:
        return Vector(scalar, lanes)

    def reduced(value: Any) -> Any:
        return value.dtype

    _register(vectors.LOADS[lanes], loaded, _load, types.Array, types.Integer)
    _register(vectors.STORES[lanes], stored, _store, types.Array, types.Integer, Vector)
    _register(vectors.SPLATS[lanes], splatted, _splat, types.Float)
    _register(vectors.TOTALS[lanes], reduced, _total, Vector)
    _register(vectors.LARGEST[lanes], reduced, _largest, Vector)


_register_arithmetic()
_register_functions()
for _name, _function in vectors.VIEWS.items():
    _register_view(_name, _function)
for _lanes in vectors.LANES:
    _register_lanes(_lanes)
