"""Cross-entropy and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convir.ir import TensorType
from convir.ir.ops import CrossEntropy, CrossEntropyGrad
from convir.loops.affine import Axis, variable
from convir.loops.expr import Apply, Expr, Index, Load, Number, Reduce, div, mul, sub, where_equal, where_less
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops

_NAN = Number(float("nan"))

#: Up to this many classes their indices are exact in the logits' type, in which loops compare them.
_EXACT = {"float32": 2**24, "float64": 2**53}


class _Logits:
    """The parts that loss and gradient share: each sample's maximum and sum of exponentials."""

    def __init__(self, op: CrossEntropy | CrossEntropyGrad, logits: Operand, target: Operand) -> None:
        self.logits, self.target = logits, target
        self.axis = op.class_axis
        self.samples = target.type.shape[0]
        self.n, self.k = Axis("n", self.samples), Axis("k", logits.type.size // self.samples)
        column = replace(logits.type, shape=(self.samples,))
        self.top, self.total = Operand("top", column), Operand("total", column)

    @property
    def can_tell_classes(self) -> bool:
        """Whether no two classes have the same index once it is a floating-point number."""
        return self.k.extent <= _EXACT[self.logits.type.dtype]

    def index(self) -> tuple[str, str]:
        return ("n", "k") if self.axis == 1 else ("k", "n")

    @property
    def logit(self) -> Load:
        return self.logits.at(*self.index())

    @property
    def exponential(self) -> Expr:
        return Apply("exp", (sub(self.logit, self.top.at("n")),))

    def valid(self, value: Expr) -> Expr:
        """``value``, or NaN where the target is no class: loops cannot raise, and must not make up a loss."""
        target, classes = self.target.at("n"), Number(float(self.k.extent))
        return where_less(target, Number(0.0), _NAN, where_less(target, classes, value, _NAN))

    def is_target(self, then: Expr, other: Expr) -> Expr:
        return where_equal(Index(variable("k")), self.target.at("n"), then, other)

    def nests(self) -> tuple[Nest, Nest]:
        largest = self.top.store(("n",), Reduce("maximum", ("k",), self.logit))
        summed = self.total.store(("n",), Reduce("add", ("k",), self.exponential))
        return Nest((self.n,), (self.k,), (largest,)), Nest((self.n,), (self.k,), (summed,))

    def temporaries(self) -> tuple[tuple[str, TensorType], ...]:
        return ((self.top.name, self.top.type), (self.total.name, self.total.type))


@loops(CrossEntropy)
def cross_entropy(op: CrossEntropy, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """Shifted by each sample's maximum; the sum over samples in order."""
    parts = _Logits(op, *operands)
    if not parts.can_tell_classes:
        return None
    share = Operand("share", parts.total.type)
    picked = Reduce("add", ("k",), parts.is_target(sub(parts.logit, parts.top.at("n")), Number(0.0)))
    each = share.store(("n",), parts.valid(sub(Apply("log", (parts.total.at("n"),)), picked)))
    mean = mul(Reduce("add", ("n",), share.at("n")), Number(1 / parts.samples))
    nests = (
        *parts.nests(),
        Nest((parts.n,), (parts.k,), (each,)),
        Nest((), (parts.n,), (results[0].store((), mean),)),
    )
    return Program(nests, (*parts.temporaries(), (share.name, share.type)))


@loops(CrossEntropyGrad)
def cross_entropy_grad(op: CrossEntropyGrad, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """Softmax, less one at the target, times each sample's share of the cotangent."""
    grad, *rest = operands
    parts = _Logits(op, *rest)
    if not parts.can_tell_classes:
        return None
    softmax = div(parts.exponential, parts.total.at("n"))
    less_target = sub(softmax, parts.is_target(Number(1.0), Number(0.0)))
    share = parts.valid(mul(grad.at(), Number(1 / parts.samples)))
    store = results[0].store(parts.index(), mul(less_target, share))
    axes = (parts.n, parts.k) if parts.axis == 1 else (parts.k, parts.n)
    return Program((*parts.nests(), Nest(axes, (), (store,))), parts.temporaries())
