"""Something happens in the middle of a call, at each moment when Python could call a signal handler there."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import count
from types import CodeType, FrameType, ModuleType
from typing import Any

#: After these instructions CPython looks whether a signal has come (CHECK_EVAL_BREAKER in its ceval.c).
_LOOKS = ("RESUME", "CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")


def every_moment(modules: Iterable[ModuleType], act: Callable[[], None]) -> Iterator[Moment]:
    """Contexts to make the same call in: ``act`` happens at its first moment in these modules, its second, and so on.

    In the first and the last context nothing happens: the last is one in which the call has no such moment any more.
    ``act`` may raise, as a signal handler may. Only the calling thread is watched.
    """
    files = {str(module.__file__) for module in modules}
    # Python 3.13 watches the instructions of a function from its next call on.
    yield Moment(files, sys.maxsize, act)
    for number in count():
        moment = Moment(files, number, act)
        yield moment
        if not moment.acted:
            return


class Moment:
    """One of them."""

    def __init__(self, files: set[str], number: int, act: Callable[[], None]) -> None:
        self.acted = False
        self.number = number
        self._files, self._left, self._act = files, number, act
        self._last: dict[FrameType, int] = {}
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        # Python 3.12 looks, when tracing begins, whether any frame has ever asked for this.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        self._last.clear()

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.acted or frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" and not self.acted:
            last = self._last.get(frame)
            self._last[frame] = frame.f_lasti
            if last is not None and _looks(frame.f_code)[last]:
                self._count()
        return self._step

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.acted = True
            self._act()


@cache
def _looks(code: CodeType) -> dict[int, bool]:
    """For each instruction, whether Python looks for signals after it."""
    return {each.offset: each.opname.startswith(_LOOKS) for each in dis.get_instructions(code)}
