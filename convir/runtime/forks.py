"""What a fork does to locks: in the child, one that another thread holds is never released."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _thread import RLock as Lock


def lock_across_forks() -> Lock:
    """A lock that a fork waits for: the child finds it free, and what it guards is not half done.

    Reentrant, as a signal handler may fork in the thread that holds it; that thread holds it in the child, too. A lock
    that is held for long should rather be made anew in the child.
    """
    lock = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
