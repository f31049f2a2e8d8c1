"""A lock between processes and threads: one at a time, none left behind, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from convir.common.lock import locked

HOLD = """\
import sys, time
from pathlib import Path
from convir.common.lock import locked

with locked(Path(sys.argv[1]), 0.0) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_another_process_has_it_until_it_ends_however_that_is(path, holder):
    with locked(path, 0.0) as alone:
        assert not alone
    holder.send_signal(signal.SIGKILL)
    with locked(path, 30.0) as alone:
        assert alone


def test_who_waits_in_vain_goes_on_without(path, holder):
    with locked(path, 0.1) as alone:
        assert not alone


def test_threads_take_turns(path):
    inside, most = [], []

    def work():
        with locked(path, 30.0) as alone:
            inside.append(alone)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_a_thread_has_it_again_and_loses_it_with_the_first(path):
    with locked(path, 0.0) as alone:
        with locked(path, 0.0) as again:
            assert alone
            assert again
        assert not _from_another_thread(path)
    assert _from_another_thread(path)


def test_an_error_inside_lets_it_go(path):
    with pytest.raises(KeyError), locked(path, 0.0):
        raise KeyError
    assert _from_another_thread(path)


def test_where_there_can_be_no_file_there_is_no_lock(tmp_path):
    (tmp_path / "file").write_text("")
    with locked(tmp_path / "file" / "lock", 0.0) as alone:
        assert not alone


def _from_another_thread(path) -> bool:
    found = []

    def look():
        with locked(path, 0.0) as alone:
            found.append(alone)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_it(path):
    read, write = os.pipe()
    with locked(path, 0.0):
        child = os.fork()
        if not child:
            # What the parent holds is not the child's, who does not get it either.
            with locked(path, 0.0) as alone:
                os.write(write, b"1" if alone else b"0")
            signal.pause()
        said = os.read(read, 1)
    try:
        with locked(path, 0.0) as alone:
            assert (said, alone) == (b"0", True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
