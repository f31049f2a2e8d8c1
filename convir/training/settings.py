"""What training hands on to the compiler."""

from __future__ import annotations

from typing import TypedDict

from convir.passes.lower_conv import StrategyChoice


class Settings(TypedDict):
    """How training compiles and runs: arguments of :func:`convir.compile`, where they are explained."""

    conv: StrategyChoice | None
    backend: str
    threads: int | None
    tile: int | None
