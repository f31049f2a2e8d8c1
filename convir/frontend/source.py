"""Where in the user's files something happens: the frames of the Python stack that are not the frontend's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import ParamSpec, TypeVar

from convir.ir import Source

P = ParamSpec("P")
R = TypeVar("R")

#: Files that are never the user's: the frontend's, and the one that closes its ``with`` blocks.
_OURS = (os.path.dirname(os.path.abspath(__file__)) + os.sep, contextlib.__file__)

#: The search for the user's line does not look beyond a frame that runs one of these.
_BOUNDARIES: set[CodeType] = set()


def boundary(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a frontend function whose callers say nothing about the ops recorded below it.

    Above ``trace`` stands the line that asked for the trace; above ``Sequential.forward`` one line
    for all of its layers. The line where the layer was made tells more than either.
    """
    _BOUNDARIES.add(function.__code__)
    return function


def is_ours(frame: FrameType) -> bool:
    """Whether the frontend's own code runs in ``frame``."""
    return frame.f_code.co_filename.startswith(_OURS)


def user_line() -> Source | None:
    """The innermost line outside the frontend, or None if a boundary comes first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code not in _BOUNDARIES:
        if not is_ours(frame):
            return Source(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None
