"""Any exception as one line, and whose fault it is."""

from __future__ import annotations

import os
import sysconfig
import traceback

from convir.ir import ConvirError, ExecutionError, VerifyError

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(os.path.realpath(path) + os.sep for path in set(sysconfig.get_paths().values()) if path)


def is_refusal(error: BaseException) -> bool:
    """Whether what is asked for cannot be had, such as a file that cannot be opened, as opposed to failing at it."""
    if isinstance(error, OSError):
        return error.filename is not None
    return isinstance(error, ConvirError) and not isinstance(error, (ExecutionError, VerifyError))


def explain(error: BaseException) -> str:
    """What went wrong, in one line; an exception that is none of ours with its type and the user's file and line."""
    if isinstance(error, ConvirError):
        return one_line(str(error))
    if isinstance(error, OSError) and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return described(error)


def described(error: BaseException) -> str:
    """``ValueError: bad size (net.py:12)``."""
    message = one_line(str(error))
    if isinstance(error, SyntaxError):
        message, place = error.msg, f"{os.path.basename(error.filename or '?')}:{error.lineno}"
    else:
        place = _place(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{text} ({place})" if place else text


def one_line(text: str) -> str:
    """Several lines as one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _place(error: BaseException) -> str:
    """The innermost line in a file that is neither convir's nor a library's; or else the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)]
    found = (own or frames)[-1:]
    return "".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in found)


def _is_library(path: str) -> bool:
    real = os.path.realpath(path)
    return path.startswith(("<", _OURS)) or real.startswith((_OURS, *_LIBRARIES))
