"""Winograd's transforms: along the rows, then along the columns, both over long runs of memory."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.cook_toom import Matrix
from convir.ir.ops import WinogradInput, WinogradOutput, WinogradOutputGrad, WinogradWeight, WinogradWeightGrad
from convir.loops.affine import Axis, variable
from convir.loops.expr import Apply, Expr, Load, Number, add, mul, sub
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated


def combined(factors: Sequence[object], terms: Sequence[Load]) -> Expr:
    """``sum of factor * term``, without products by 0 and 1."""
    total: Expr | None = None
    for factor, term in zip(map(float, factors), terms, strict=True):  # type: ignore[arg-type]
        if factor == 0:
            continue
        scaled: Expr = term if abs(factor) == 1 else mul(Number(abs(factor)), term)
        if total is None:
            total = scaled if factor > 0 else Apply("neg", (scaled,))
        else:
            total = add(total, scaled) if factor > 0 else sub(total, scaled)
    return Number(0.0) if total is None else total


def _columns(matrix: Matrix) -> Matrix:
    """The transpose."""
    return tuple(zip(*matrix, strict=True))


def _axes(**extents: int) -> tuple[Axis, ...]:
    return tuple(Axis(name, extent) for name, extent in extents.items())


@loops(WinogradInput)
def winograd_input(op: WinogradInput, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Every column of a row of tiles, then every tile."""
    image, result = operands[0], results[0]
    channels, height, width, batch = image.type.shape
    (down, across), (above, beside) = op.tiles((height, width)), op.factors
    rows, columns = op.matrices
    half = Operand("half", image.type.with_shape((above, channels, down, width, batch)))
    whole = Operand(result.name, result.type.with_shape((above, beside, channels, down, across, batch)))

    axes = _axes(c=channels, i=down, w=width, n=batch)
    read = [image.at("c", variable("i") * op.step[0] + k, "w", "n") for k in range(rows.window)]
    first = tuple(half.store((u, "c", "i", "w", "n"), combined(rows.input[u], read)) for u in range(above))

    tiles = _axes(u=above, c=channels, i=down, j=across, n=batch)
    read = [half.at("u", "c", "i", variable("j") * op.step[1] + k, "n") for k in range(columns.window)]
    second = tuple(whole.store(("u", v, "c", "i", "j", "n"), combined(columns.input[v], read)) for v in range(beside))
    return Program((Nest(axes, (), first), Nest(tiles, (), second)), ((half.name, half.type),))


@loops(WinogradOutput)
def winograd_output(op: WinogradOutput, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Every column of a tile of products, then every row of outputs."""
    products, *bias = operands
    result = results[0]
    filters, _, _, batch = result.type.shape
    (down, across), (above, beside) = op.tiles_across, op.factors
    rows, columns = op.matrices
    whole = Operand(products.name, products.type.with_shape((above, beside, filters, down, across, batch)))
    half = Operand("half", result.type.with_shape((op.tile[0], beside, filters, down, across, batch)))

    axes = _axes(v=beside, o=filters, i=down, j=across, n=batch)
    read = [whole.at(u, "v", "o", "i", "j", "n") for u in range(above)]
    first = tuple(half.store((p, "v", "o", "i", "j", "n"), combined(rows.output[p], read)) for p in range(op.tile[0]))

    tiles = _axes(p=op.tile[0], o=filters, i=down, j=across, n=batch)
    read = [half.at("p", v, "o", "i", "j", "n") for v in range(beside)]
    row = variable("i") * op.tile[0] + variable("p")
    stores = []
    for q in range(op.tile[1]):
        value = combined(columns.output[q], read)
        value = add(value, bias[0].at("o")) if bias else value
        column = variable("j") * op.tile[1] + q
        stores.append(result.store(("o", row, column, "n"), activated(op.activation, value)))
    return Program((Nest(axes, (), first), Nest(tiles, (), tuple(stores))), ((half.name, half.type),))


@loops(WinogradWeight)
def winograd_weight(op: WinogradWeight, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Along the rows, then along the columns."""
    weight, result = operands[0], results[0]
    filters, channels, height, width = weight.type.shape
    above, beside = op.factors
    rows, columns = op.matrices
    half = Operand("half", weight.type.with_shape((above, width, filters, channels)))
    whole = Operand(result.name, result.type.with_shape((above, beside, filters, channels)))

    axes = _axes(l=width, o=filters, c=channels)
    read = [weight.at("o", "c", k, "l") for k in range(height)]
    first = tuple(half.store((u, "l", "o", "c"), combined(rows.weight[u], read)) for u in range(above))

    again = _axes(u=above, o=filters, c=channels)
    read = [half.at("u", tap, "o", "c") for tap in range(width)]
    second = tuple(whole.store(("u", v, "o", "c"), combined(columns.weight[v], read)) for v in range(beside))
    return Program((Nest(axes, (), first), Nest(again, (), second)), ((half.name, half.type),))


@loops(WinogradOutputGrad)
def winograd_output_grad(op: WinogradOutputGrad, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Every column of a row of tiles, then every tile."""
    grad, result = operands[0], results[0]
    filters, height, width, batch = grad.type.shape
    (above, beside), down, across = op.factors, height // op.tile[0], width // op.tile[1]
    rows, columns = (_columns(each.output) for each in op.matrices)
    half = Operand("half", grad.type.with_shape((above, filters, down, width, batch)))
    whole = Operand(result.name, result.type.with_shape((above, beside, filters, down, across, batch)))

    axes = _axes(o=filters, i=down, w=width, n=batch)
    read = [grad.at("o", variable("i") * op.tile[0] + p, "w", "n") for p in range(op.tile[0])]
    first = tuple(half.store((u, "o", "i", "w", "n"), combined(rows[u], read)) for u in range(above))

    tiles = _axes(u=above, o=filters, i=down, j=across, n=batch)
    read = [half.at("u", "o", "i", variable("j") * op.tile[1] + q, "n") for q in range(op.tile[1])]
    second = tuple(whole.store(("u", v, "o", "i", "j", "n"), combined(columns[v], read)) for v in range(beside))
    return Program((Nest(axes, (), first), Nest(tiles, (), second)), ((half.name, half.type),))


@loops(WinogradWeightGrad)
def winograd_weight_grad(op: WinogradWeightGrad, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Along the rows, then along the columns."""
    grad, result = operands[0], results[0]
    filters, channels, height, width = result.type.shape
    above, beside = op.factors
    rows, columns = (_columns(each.weight) for each in op.matrices)
    whole = Operand(grad.name, grad.type.with_shape((above, beside, filters, channels)))
    half = Operand("half", grad.type.with_shape((height, beside, filters, channels)))

    axes = _axes(v=beside, o=filters, c=channels)
    read = [whole.at(u, "v", "o", "c") for u in range(above)]
    first = tuple(half.store((k, "v", "o", "c"), combined(rows[k], read)) for k in range(height))

    again = _axes(k=height, o=filters, c=channels)
    read = [half.at("k", v, "o", "c") for v in range(beside)]
    second = tuple(result.store(("o", "c", "k", tap), combined(columns[tap], read)) for tap in range(width))
    return Program((Nest(axes, (), first), Nest(again, (), second)), ((half.name, half.type),))
