"""Carrying attributes from one op class to another of the same family."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from convir.ir import Op


def common_attributes(op: Op, target: type[Op]) -> dict[str, Any]:
    """The attributes of ``op`` that ``target`` has too."""
    names = {field.name for field in fields(target)}
    return {field.name: getattr(op, field.name) for field in fields(op) if field.name in names}
