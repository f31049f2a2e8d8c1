"""Something happens in the middle of a call, at each moment when Python could call a signal handler there."""

from __future__ import annotations

import dis
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import count
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

#: After these instructions CPython looks whether a signal has come (CHECK_EVAL_BREAKER in its ceval.c).
_LOOKS = ("RESUME", "CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")

#: One that nobody else uses, of the tools that Python 3.12 lets watch.
_TOOL = 4


def every_moment(modules: Iterable[ModuleType], act: Callable[[], None]) -> Iterator[Moment]:
    """Contexts to make the same call in: ``act`` happens at its first moment in these modules, its second, and so on.

    The last context is one in which the call has no such moment any more. ``act`` may raise, as a signal handler may.
    Only the calling thread is watched.
    """
    files = {str(module.__file__) for module in modules}
    for number in count():
        moment = (_Monitored if hasattr(sys, "monitoring") else _Traced)(files, number, act)
        yield moment
        if not moment.acted:
            return


class Moment:
    """One of them.

    Attributes:
        number: how many there were before.
        acted: whether it has come.
    """

    def __init__(self, files: set[str], number: int, act: Callable[[], None]) -> None:
        self.number, self.acted = number, False
        self._files, self._left, self._act = files, number, act
        self._last: dict[FrameType, int] = {}

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def _step(self, frame: FrameType, offset: int) -> None:
        """An instruction is about to run."""
        if self.acted:
            return
        last, self._last[frame] = self._last.get(frame), offset
        if last is None or not _looks(frame.f_code)[last]:
            return
        self._left -= 1
        if self._left < 0:
            self.acted = True
            self._last.clear()
            self._act()


class _Traced(Moment):
    """By ``sys.settrace``."""

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        self._last.clear()

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.acted or frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        return self._trace

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self._step(frame, frame.f_lasti)
        return self._trace


class _Monitored(Moment):
    """By ``sys.monitoring``: from Python 3.12 on a trace function may miss a function's first instructions."""

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        codes, monitoring = _codes(frozenset(self._files)), sys.monitoring
        monitoring.use_tool_id(_TOOL, __name__)
        monitoring.register_callback(_TOOL, monitoring.events.INSTRUCTION, self._watch)
        for code in codes:
            monitoring.set_local_events(_TOOL, code, monitoring.events.INSTRUCTION)

    def __exit__(self, *_: object) -> None:
        for code in _codes(frozenset(self._files)):
            sys.monitoring.set_local_events(_TOOL, code, 0)
        sys.monitoring.free_tool_id(_TOOL)
        self._last.clear()

    def _watch(self, code: CodeType, offset: int) -> None:
        if threading.get_ident() == self._thread:
            self._step(sys._getframe(1), offset)


@cache
def _codes(files: frozenset[str]) -> list[CodeType]:
    """Of all functions there are."""
    functions = [each for each in gc.get_objects() if type(each) is FunctionType]
    found = [function.__code__ for function in functions if function.__code__.co_filename in files]
    for code in found:  # It grows.
        found += [each for each in code.co_consts if isinstance(each, CodeType)]
    return list(dict.fromkeys(found))


@cache
def _looks(code: CodeType) -> dict[int, bool]:
    """For each instruction, whether Python looks for signals after it."""
    return {each.offset: each.opname.startswith(_LOOKS) for each in dis.get_instructions(code)}
