"""Whoever adds an op knows the four places: this names the one that was forgotten."""

from __future__ import annotations

import dataclasses

import pytest
from support.gradient_samples import SAMPLES

from convir.ir import OPS, ops
from convir.ir.ops import Constant
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


def test_every_op_has_a_kernel_but_views_and_constants():
    assert missing(lambda cls: (cls in KERNELS) != (cls.view or cls is Constant)) == []


def test_every_op_has_samples():
    assert missing(lambda cls: SAMPLES.get(cls)) == []


def test_every_op_is_a_frozen_dataclass_with_its_equation():
    params = [cls.__dataclass_params__ for cls in OURS]
    assert all(each.frozen and each.eq for each in params)
    # In code marks; the docstring that dataclass makes up where there is none has no such.
    assert missing(lambda cls: "`" in (cls.__doc__ or "")) == []


def test_every_op_belongs_to_a_family():
    kinds = {"convolution", "matmul", "pooling", "activation", "elementwise", "reduction", "layout", "loss"}
    assert {cls.kind for cls in OURS} == kinds | {"constant", "random"}


def test_every_op_is_exported():
    assert missing(lambda cls: getattr(ops, cls.__name__, None) is cls and cls.__name__ in ops.__all__) == []


@pytest.mark.parametrize("registry", [GRADIENTS, NOT_DIFFERENTIABLE, RULES, KERNELS])
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
    if cls in KERNELS:
        assert KERNELS[cls].bind.__module__ in (f"convir.runtime.kernels.{stem}", "convir.runtime.kernels.naive")
