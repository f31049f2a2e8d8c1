"""The limit of BLAS threads: nesting, sharing, restoring, fork; and products while it is switched."""

from __future__ import annotations

import os
import threading
import warnings

import numpy as np
import pytest
import threadpoolctl

from convir import ConvirError
from convir.runtime import blas
from convir.runtime.blas import blas_threads

CONTROLLERS = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def setting() -> int:
    """BLAS threads, as threadpoolctl sees them."""
    return CONTROLLERS[0].num_threads


@pytest.fixture(autouse=True)
def _three_threads():
    """Three threads as the user's setting, so that limits below and above it differ on every machine."""
    if not CONTROLLERS:
        pytest.skip("no BLAS here that can be set")
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        if setting() != 3:
            pytest.skip("this BLAS has a fixed number of threads")
        yield
        assert setting() == 3


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2, 2), (3, 3), (8, 3)])
def test_the_limit_holds_inside_and_never_raises_the_setting(limit, expected):
    with blas_threads(limit):
        assert setting() == expected
    assert setting() == 3


def test_the_least_limit_of_a_nest_holds():
    with blas_threads(2):
        with blas_threads(1):
            assert setting() == 1
            with blas_threads(8):
                assert setting() == 1
        assert setting() == 2


def test_it_is_restored_after_an_error():
    with pytest.raises(KeyError), blas_threads(1):
        raise KeyError
    assert setting() == 3


def test_an_interrupt_on_the_way_in_restores(monkeypatch):
    def interrupted(threads):
        set_threads(threads)
        if threads == 1:
            raise KeyboardInterrupt

    library = blas._libraries()[0]  # NumPy's; others may have been loaded since
    set_threads = library.set
    monkeypatch.setattr(library, "set", interrupted)
    with pytest.raises(KeyboardInterrupt), blas_threads(1):
        pass
    assert setting() == 3


def test_the_last_thread_out_restores_and_the_least_limit_inside_holds():
    """Another thread goes in first; this one goes in, sees both limits, and stays until the other has left."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with blas_threads(1):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with blas_threads(2):
        assert setting() == 1
        leave.set()
        thread.join()
        assert setting() == 2
    assert setting() == 3


def test_a_thread_that_came_in_second_can_be_the_last_out():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with blas_threads(1):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with blas_threads(2):
        thread.start()
        inside.wait()
        assert setting() == 1
    assert setting() == 1
    leave.set()
    thread.join()
    assert setting() == 3


def test_a_setting_of_the_users_between_two_uses_is_the_one_restored():
    with blas_threads(1):
        pass
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with blas_threads(1):
            assert setting() == 1
        assert setting() == 2


def test_where_nothing_changes_nothing_is_set(monkeypatch):
    """A lower setting that the user makes meanwhile therefore stays."""
    library = blas._libraries()[0]  # NumPy's; others may have been loaded since
    calls = []
    monkeypatch.setattr(library, "set", calls.append)
    for limit in (3, 8):
        with blas_threads(limit):
            pass
    assert calls == []
    monkeypatch.undo()
    with blas_threads(8):
        CONTROLLERS[0].set_num_threads(2)
    assert setting() == 2
    with blas_threads(3):
        assert setting() == 2
    CONTROLLERS[0].set_num_threads(3)


def test_a_limit_that_was_left_can_be_entered_again():
    limit = blas_threads(1)
    for _ in range(2):
        with limit:
            assert setting() == 1
        assert setting() == 3


@pytest.mark.parametrize("limit", [0, -1, 1.0, "1", None, True])
def test_a_bad_limit_is_named(limit):
    with pytest.raises(ConvirError) as caught:
        blas_threads(limit)
    assert str(caught.value) == f"the limit of BLAS threads is a positive integer, not {limit!r}"


def test_products_are_right_while_the_limit_is_switched():
    stop = threading.Event()
    worst = []

    def multiply(seed):
        a = np.random.default_rng(seed).standard_normal((150 + 31 * seed, 150 + 31 * seed))
        expected = np.einsum("ij,jk->ik", a, a)
        error = 0.0
        while True:
            error = max(error, np.abs(a @ a - expected).max())
            if stop.is_set():
                break
        worst.append(error)

    threads = [threading.Thread(target=multiply, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(3000):
        with blas_threads(1 + turn % 2):
            pass
    stop.set()
    for thread in threads:
        thread.join()
    assert len(worst) == 3
    assert max(worst) < 1e-10


class PerThread:
    """A library such as MKL: each thread has its own setting."""

    internal_api = "mkl"

    def __init__(self):
        self.local = threading.local()

    def get_num_threads(self):
        return getattr(self.local, "threads", 4)

    def set_num_threads(self, threads):
        self.local.threads = threads


def test_a_setting_of_each_thread_is_limited_and_restored_in_that_thread(monkeypatch):
    controller = PerThread()
    library = blas._library(controller)
    monkeypatch.setattr(blas, "_libraries", lambda: (library,))
    seen = []

    def other():
        seen.append(controller.get_num_threads())
        with blas_threads(2):
            seen.append(controller.get_num_threads())
        seen.append(controller.get_num_threads())

    with blas_threads(3), blas_threads(1):
        assert controller.get_num_threads() == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with blas_threads(8):
            assert controller.get_num_threads() == 1
    assert controller.get_num_threads() == 4
    assert seen == [4, 2, 4]


class Setting:
    """One setting for the process, which it may refuse to change."""

    internal_api = "blis"

    def __init__(self, threads, broken=False):
        self.threads, self.broken = threads, broken

    def get_num_threads(self):
        return self.threads

    def set_num_threads(self, threads):
        if self.broken:
            raise KeyboardInterrupt
        self.threads = threads


def test_every_library_is_limited_and_restored(monkeypatch):
    settings = [Setting(2), PerThread(), Setting(5)]
    libraries = tuple(map(blas._library, settings))
    monkeypatch.setattr(blas, "_libraries", lambda: libraries)
    with blas_threads(3):
        assert [each.get_num_threads() for each in settings] == [2, 3, 3]
        with blas_threads(1):
            assert [each.get_num_threads() for each in settings] == [1, 1, 1]
        assert [each.get_num_threads() for each in settings] == [2, 3, 3]
    assert [each.get_num_threads() for each in settings] == [2, 4, 5]


def test_an_interrupt_between_two_libraries_restores_the_first(monkeypatch):
    settings = [Setting(2), PerThread(), Setting(5, broken=True)]
    libraries = tuple(map(blas._library, settings))
    monkeypatch.setattr(blas, "_libraries", lambda: libraries)
    limit = blas_threads(1)
    with pytest.raises(KeyboardInterrupt):
        limit.__enter__()
    settings[2].broken = False
    assert [each.get_num_threads() for each in settings] == [2, 4, 5]


def test_without_a_library_there_is_nothing_to_do(monkeypatch):
    monkeypatch.setattr(blas, "_libraries", tuple)
    with blas_threads(1):
        pass


def test_other_libraries_are_set_through_their_controller(monkeypatch):
    controller = PerThread()
    controller.internal_api = "blis"
    library = blas._library(controller)
    monkeypatch.setattr(blas, "_libraries", lambda: (library,))
    with blas_threads(2):
        assert controller.get_num_threads() == 2
    assert controller.get_num_threads() == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_in_the_child_of_a_fork_only_the_forking_thread_is_inside():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with blas_threads(1):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with blas_threads(2):
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork while there are threads; this is about just that.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        child_inside = setting()
    if pid == 0:
        os._exit(0 if (child_inside, setting()) == (2, 3) else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert child_inside == 1
