"""Whoever adds an op knows the places: this names the one that was forgotten."""

from __future__ import annotations

import dataclasses

import pytest
from support.gradient_samples import SAMPLES

from convir.ir import OPS, ops
from convir.ir.ops import Constant
from convir.passes.batch import NOT_TILED
from convir.passes.batch import RULES as BATCH_RULES
from convir.passes.cost import RULES
from convir.passes.grad import GRADIENTS, NOT_DIFFERENTIABLE
from convir.runtime import KERNELS

OURS = [cls for cls in OPS.values() if cls.__module__.startswith("convir.ir.ops.")]


def missing(has) -> list[str]:
    return sorted(cls.name for cls in OURS if not has(cls))


def test_every_op_has_a_gradient_rule_or_a_reason():
    assert missing(lambda cls: cls in GRADIENTS or cls in NOT_DIFFERENTIABLE) == []


def test_every_op_has_a_cost_rule():
    assert missing(lambda cls: cls in RULES) == []


def test_every_op_has_a_batch_rule_or_a_reason():
    assert missing(lambda cls: (cls in BATCH_RULES) != (cls in NOT_TILED)) == []


def test_every_op_has_a_kernel_but_views_and_constants():
    assert missing(lambda cls: (cls in KERNELS) != (cls.view or cls is Constant)) == []


def test_every_op_has_samples():
    assert missing(lambda cls: SAMPLES.get(cls)) == []


def test_every_op_is_a_frozen_dataclass_with_its_equation():
    params = [cls.__dataclass_params__ for cls in OURS]
    assert all(each.frozen and each.eq for each in params)
    # In code marks; the docstring that dataclass makes up where there is none has no such.
    assert missing(lambda cls: "`" in (cls.__doc__ or "")) == []


def test_no_attribute_was_added_without_the_decorator():
    for cls in OURS:
        added = [each for each in cls.__mro__ if "__dataclass_fields__" not in vars(each)]
        hints = {name: hint for each in added for name, hint in vars(each).get("__annotations__", {}).items()}
        assert {name: hint for name, hint in hints.items() if "ClassVar" not in str(hint)} == {}, cls


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.name)
def test_ops_are_immutable(cls):
    op = SAMPLES[cls][0][0]
    for name in ("name", "novel", *(field.name for field in dataclasses.fields(cls))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(op, name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(op, name)


def test_every_op_belongs_to_a_family():
    kinds = {"convolution", "matmul", "pooling", "activation", "elementwise", "reduction", "layout", "loss"}
    assert {cls.kind for cls in OURS} == kinds | {"constant", "random", "region"}


def test_every_op_is_exported():
    assert missing(lambda cls: getattr(ops, cls.__name__, None) is cls and cls.__name__ in ops.__all__) == []


@pytest.mark.parametrize("registry", [GRADIENTS, NOT_DIFFERENTIABLE, RULES, KERNELS, BATCH_RULES, NOT_TILED])
def test_registries_hold_ops_only(registry):
    assert set(registry) <= set(OPS.values())


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.name)
def test_attributes_have_defaults_and_compare_by_value(cls):
    if cls is Constant:
        return
    assert cls() == cls()
    assert hash(cls()) == hash(cls())
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(cls))


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.name)
def test_the_rule_stands_in_the_module_with_the_ops_stem(cls):
    stem = cls.__module__.rpartition(".")[2]
    if cls in GRADIENTS and stem not in ("constant", "random"):
        assert GRADIENTS[cls].__module__ == f"convir.passes.grad.{stem}"
    if cls in BATCH_RULES:
        assert BATCH_RULES[cls].__module__ == f"convir.passes.batch.{stem}"
    if cls in KERNELS:
        assert KERNELS[cls].bind.__module__ in (f"convir.runtime.kernels.{stem}", "convir.runtime.kernels.naive")
