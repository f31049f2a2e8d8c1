"""What an operation is: a frozen dataclass of attributes with one shape rule."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from numbers import Integral
from typing import Any, ClassVar

from convir.ir.errors import DTypeError, ShapeError
from convir.ir.types import TensorType

#: Every op class by its name in the text form.
OPS: dict[str, type[Op]] = {}


def quiet(default: Any) -> Any:
    """A dataclass field that the text form leaves out while it has its default."""
    return field(default=default, metadata={"quiet": True})


class _Immutable:
    """``dataclass(frozen=True)`` lets a subclass without the decorator have attributes assigned; this does not."""

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r} of {self}: an op is immutable")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r} of {self}: an op is immutable")


@dataclass(frozen=True)
class Op(_Immutable):
    """Base of all operations.

    A subclass is a frozen dataclass: its fields are the op's attributes, its docstring gives its
    equation, and :meth:`infer` is *the* shape rule, used to build, to verify and to re-specialise.
    One that adds no attributes inherits all that the decorator makes, and goes without it.
    Subclasses that set ``name`` enter :data:`OPS`.
    """

    name: ClassVar[str] = ""
    #: Family, for colours and reports: convolution, matmul, pooling, activation, elementwise,
    #: reduction, layout, loss, constant or random.
    kind: ClassVar[str] = ""
    #: Operand names in order; a trailing ``?`` marks an operand that may be left out.
    operand_names: ClassVar[tuple[str, ...]] = ()
    #: The result is the operand's bytes under another shape: nothing is computed or copied.
    view: ClassVar[bool] = False
    #: Operands whose buffer the kernel may overwrite with its result, when nobody else needs them.
    inplace: ClassVar[tuple[int, ...]] = ()
    #: Cheap enough that the backward may compute it again instead of keeping its result.
    recomputable: ClassVar[bool] = False
    #: Two evaluations on equal operands may differ (dropout masks): never merged, never repeated.
    random: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            return
        known = OPS.get(cls.name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"two op classes are named {cls.name!r}: {known} and {cls}")
        OPS[cls.name] = cls

    def __post_init__(self) -> None:
        try:
            self.check()
        except ShapeError as error:
            raise error.located(self.name) from None

    def check(self) -> None:
        """Raise :class:`ShapeError` if an attribute is out of range, whatever the operands."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        """Result types for these operand types; raises ShapeError or DTypeError if they do not fit."""
        raise NotImplementedError(f"{type(self).__name__} has no shape rule")

    def attributes(self) -> dict[str, Any]:
        """Attributes as the text form shows them: quiet ones only where they differ from the default."""
        shown = [f for f in fields(self) if not (f.metadata.get("quiet") and getattr(self, f.name) == f.default)]
        return {f.name: getattr(self, f.name) for f in shown}

    def operands(self, given: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
        """The operands as given; raises ShapeError unless their number fits ``operand_names``."""
        required = sum(not name.endswith("?") for name in self.operand_names)
        if required <= len(given) <= len(self.operand_names):
            return given
        signature = ", ".join(self.operand_names)
        raise ShapeError(f"takes operands ({signature}), got {len(given)}")


def require_rank(label: str, operand: TensorType, rank: int, axes: str) -> None:
    """Raise ShapeError unless ``operand`` has ``rank`` dimensions, e.g. 4 for ``(N, C, H, W)``."""
    if operand.rank != rank:
        raise ShapeError(f"{label} must have {rank} dimensions {axes}, got {operand} with {operand.rank}")


def require_integers(label: str, items: object) -> None:
    """Raise ShapeError unless ``items`` is a tuple of integers."""
    if not isinstance(items, tuple) or not all(isinstance(i, Integral) and not isinstance(i, bool) for i in items):
        raise ShapeError(f"{label} must be a tuple of integers, got {items!r}")


def require_float(label: str, operand: TensorType) -> None:
    """Raise DTypeError unless ``operand`` is of a floating-point type."""
    if not operand.is_float:
        raise DTypeError(f"{label} must be float32 or float64, got {operand}")


def require_same_dtype(**operands: TensorType | None) -> str:
    """The common element type of the operands; raises DTypeError if they differ."""
    given = {label: operand for label, operand in operands.items() if operand is not None}
    dtypes = {operand.dtype for operand in given.values()}
    if len(dtypes) == 1:
        return dtypes.pop()
    listed = ", ".join(f"{label} is {operand.dtype}" for label, operand in given.items())
    raise DTypeError(f"operands must have one element type, but {listed}; convert one with astype() or model.to()")


def require_type(label: str, operand: TensorType, expected: TensorType) -> None:
    """Raise ShapeError unless ``operand`` is exactly ``expected``."""
    if operand != expected:
        raise ShapeError(f"{label} must be {expected}, got {operand}")
