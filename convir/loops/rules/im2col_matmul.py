"""Products with blocks of the patch matrix that stay in the second cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from convir.ir.ops import Im2colMatMul
from convir.loops.affine import Affine, Axis, axes_over, variable
from convir.loops.expr import Expr, Number, Reduce, add, mul
from convir.loops.nest import Nest, Part, Program, Together
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated

#: Columns of a block: with fewer than the first, channels are added in parts so that there are more; enough for what
#: they take of the second cache; and the most, which still leave room there.
FEWEST, ENOUGH, MOST = 96, 128, 256

#: Terms that are added at a time where all are too many for a block: of six filters and a vector or two they leave
#: room in the first cache.
TERMS = 320

#: Columns of buffers are a multiple of this, so that vectors fill them.
WHOLE = 8


@dataclass(frozen=True)
class _Span:
    """Equal pieces of an axis, or the smaller one that is left; ``axis`` goes over them, one begins at ``first``."""

    axis: Axis
    first: Affine
    size: int


def _spans(name: str, total: int, size: int) -> Iterator[_Span]:
    """``total`` in pieces of ``size``, and what is left."""
    whole, rest = divmod(total, size)
    if whole:
        yield _Span(Axis(name, whole), variable(name) * size, size)
    if rest:
        yield _Span(Axis(name, 1), Affine(whole * size), rest)


@dataclass(frozen=True)
class _Windows:
    """Some rows, columns and samples of the result."""

    rows: _Span
    columns: _Span
    samples: _Span

    @property
    def axes(self) -> tuple[Axis, ...]:
        return axes_over((self.rows.size, self.columns.size, self.samples.size), "ijn")

    @property
    def place(self) -> tuple[Affine, ...]:
        """Where window (i, j, n) of these is among all."""
        spans = (self.rows, self.columns, self.samples)
        return tuple(span.first + variable(name) for span, name in zip(spans, "ijn", strict=True))

    @property
    def column(self) -> Affine:
        """The column of the block that belongs to it."""
        pixel = variable("i") * self.columns.size + variable("j")
        return pixel * self.samples.size + variable("n")

    def around(self, parts: Sequence[Part]) -> Part:
        """``parts`` for all blocks of such windows."""
        inner = Together(self.columns.axis, (Together(self.samples.axis, tuple(parts)),))
        return Together(self.rows.axis, (inner,))


@dataclass(frozen=True)
class _Blocks:
    """A convolution in blocks.

    Attributes:
        op: the convolution.
        operands: the image (C, H, W, N), the weight (O, C/groups, KH, KW), and the bias (O,) if there is one.
        result: (O, OH, OW, N)
        windows: rows, columns and samples of a block.
        channels: channels of a block.
    """

    op: Im2colMatMul
    operands: tuple[Operand, ...]
    result: Operand
    windows: tuple[int, int, int]
    channels: int

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.operands[1].type.shape[2:]

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def filters(self) -> int:
        """Of a group."""
        return self.result.type.shape[0] // self.op.groups

    @property
    def filter(self) -> Affine:
        return variable("group") * self.filters + variable("o")

    @property
    def per_group(self) -> int:
        return self.operands[1].type.shape[1]

    @property
    def pitch(self) -> int:
        """Columns of the buffers."""
        columns = prod(self.windows)
        return columns if columns < WHOLE else -(-columns // WHOLE) * WHOLE

    @property
    def patches(self) -> Operand:
        """A block of the patch matrix: terms by windows."""
        return Operand("patches", self.result.type.with_shape((self.channels * self.taps, self.pitch)))

    @property
    def sums(self) -> Operand:
        """The products of a block so far."""
        return Operand("sums", self.result.type.with_shape((self.filters, self.pitch)))

    def gathered(self, windows: _Windows, channels: _Span) -> Nest:
        """The patches of a block."""
        image, (i, j, n) = self.operands[0], windows.place
        (down, across), (row_step, column_step) = self.op.stride, self.op.dilation
        channel = variable("group") * self.per_group + channels.first + variable("c")
        seen = image.at(channel, i * down + variable("k") * row_step, j * across + variable("l") * column_step, n)
        rows, columns = self.kernel
        term = (variable("c") * rows + variable("k")) * columns + variable("l")
        store = self.patches.store((term, windows.column), seen)
        return Nest((*axes_over((channels.size, rows, columns), "ckl"), *windows.axes), (), (store,))

    def product(self, channels: _Span, column: Affine | str) -> Reduce:
        """What the patches of some channels add to filter "o" at a column of the block."""
        weight = self.operands[1]
        matrix = replace(weight, type=weight.type.with_shape((weight.type.shape[0], self.per_group * self.taps)))
        factor = matrix.at(self.filter, channels.first * self.taps + variable("r"))
        return Reduce("add", ("r",), mul(factor, self.patches.at("r", column)))

    def terms(self, channels: _Span) -> tuple[Axis, ...]:
        """What a product sums over."""
        return (Axis("r", channels.size * self.taps),)

    def finished(self, windows: _Windows, total: Expr, terms: tuple[Axis, ...] = ()) -> Nest:
        """The results of a block, of their sums."""
        value = add(total, self.operands[2].at(self.filter)) if len(self.operands) > 2 else total
        store = self.result.store((self.filter, *windows.place), activated(self.op.activation, value))
        return Nest((Axis("o", self.filters), *windows.axes), terms, (store,))

    def block(self, windows: _Windows) -> list[Part]:
        """Everything for some windows."""
        channels = list(_spans("part", self.per_group, self.channels))
        if self.channels == self.per_group:
            (all_,) = (replace(span, first=Affine()) for span in channels)
            product = self.product(all_, windows.column)
            return [self.gathered(windows, all_), self.finished(windows, product, self.terms(all_))]
        plane = axes_over(self.sums.type.shape, "om")
        parts: list[Part] = [Nest(plane, (), (self.sums.store(("o", "m"), Number(0.0)),))]
        for span in channels:
            more = add(self.sums.at("o", "m"), self.product(span, "m"))
            added = Nest(plane, self.terms(span), (self.sums.store(("o", "m"), more),))
            parts.append(Together(span.axis, (self.gathered(windows, span), added)))
        return [*parts, self.finished(windows, self.sums.at("o", windows.column))]

    def cleared(self) -> Nest:
        """Columns that no window fills are 0, and not whatever was there before."""
        axes = axes_over(self.patches.type.shape, "rm")
        return Nest(axes, (), (self.patches.store(("r", "m"), Number(0.0)),))


@loops(Im2colMatMul)
def im2col_matmul(op: Im2colMatMul, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Block of windows by block of windows."""
    return in_blocks(op, operands, results[0])


def in_blocks(op: Im2colMatMul, operands: Sequence[Operand], result: Operand) -> Program:
    """For each block of windows the patches of some channels at a time, and what they add."""
    shape, weight = result.type.shape, operands[1].type.shape
    columns, channels = _sizes(op, weight, shape)
    sizes = replace(op, columns=columns).window_block(shape)
    blocks = _Blocks(op, tuple(operands), result, sizes, channels)
    names = ("row", "column", "sample")
    rows, across, samples = (list(_spans(*each)) for each in zip(names, shape[1:], sizes, strict=True))
    every = [_Windows(i, j, n) for i in rows for j in across for n in samples]
    parts: list[Part] = [Together(Axis("group", op.groups), tuple(each.around(blocks.block(each)) for each in every))]
    if channels == weight[1]:
        return Program(tuple(parts), ((blocks.patches.name, blocks.patches.type),))
    buffers = (blocks.patches, blocks.sums)
    return Program((blocks.cleared(), *parts), tuple((buffer.name, buffer.type) for buffer in buffers))


def _sizes(op: Im2colMatMul, weight: Sequence[int], result: Sequence[int]) -> tuple[int, int]:
    """Columns and channels of a block, whose patches take no more room than those of NumPy's kernel.

    All channels of a group where there is room for enough columns of them. Else as many as fill the first cache, and
    the sums of their products beside them; of few windows all, so that the weight is read once.
    """
    taps, total = prod(weight[2:]), prod(result[1:])
    terms = weight[1] * taps
    columns = min(op.columns, MOST)
    if columns >= min(FEWEST, total) or terms <= TERMS:
        return columns, weight[1]
    channels = _even(weight[1], max(1, TERMS // taps))
    room = terms * op.columns // (channels * taps)
    return max(1, min(room, total if total <= MOST else ENOUGH)), channels


def _even(total: int, most: int) -> int:
    """The size of parts of about one size, of at most ``most``."""
    return -(-total // -(-total // most))
