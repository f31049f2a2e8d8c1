"""What handing a lane to another thread costs: the primitives that could carry it, interleaved in one run.

A round wakes one helper thread, runs a lane of work in the calling thread beside it and waits for the helper: two
lanes in parallel. The work is compiled code that holds no GIL: Numba's if it is installed, else a NumPy matrix product.
"over the lane" is the median round less the median of the lane alone. Then ``convir.runtime.workers.parallel``, with
one helper, and the chain: lanes of many short NumPy calls, which take the GIL in between, on one lane and on two.

    python benchmarks/worker_latency.py [--microseconds 0 50 200] [--rounds 400] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Work = Callable[[], Any]
# How to signal and how to wait for the signal.
Primitive = tuple[Callable[[], Any], Callable[[], Any]]


def lock() -> Primitive:
    """A raw lock as binary semaphore."""
    held = threading.Lock()
    held.acquire()
    return held.release, held.acquire


def lock_with_timeout() -> Primitive:
    """The same, waiting with a timeout as an idle helper does."""
    held = threading.Lock()
    held.acquire()
    return held.release, lambda: held.acquire(timeout=1.5)


def semaphore() -> Primitive:
    counter = threading.Semaphore(0)
    return counter.release, counter.acquire


def event() -> Primitive:
    flag = threading.Event()

    def wait() -> None:
        flag.wait()
        flag.clear()

    return flag.set, wait


def condition() -> Primitive:
    changed = threading.Condition()
    pending = 0

    def signal() -> None:
        nonlocal pending
        with changed:
            pending += 1
            changed.notify()

    def wait() -> None:
        nonlocal pending
        with changed:
            while not pending:
                changed.wait()
            pending -= 1

    return signal, wait


def simple_queue() -> Primitive:
    queue: SimpleQueue[None] = SimpleQueue()
    return lambda: queue.put(None), queue.get


def eventfd() -> Primitive:
    handle = os.eventfd(0)
    return lambda: os.eventfd_write(handle, 1), lambda: os.eventfd_read(handle)


PRIMITIVES: dict[str, Callable[[], Primitive]] = {
    "Lock": lock,
    "Lock, timeout": lock_with_timeout,
    "Semaphore": semaphore,
    "Event": event,
    "Condition": condition,
    "SimpleQueue": simple_queue,
    "eventfd": eventfd,
}


class Pair:
    """One helper thread driven by one primitive."""

    def __init__(self, primitive: Callable[[], Primitive]) -> None:
        self._go, wait_go = primitive()
        done, self._join = primitive()
        self.work: Work | None = None

        def serve() -> None:
            wait_go()
            while self.work is not None:
                self.work()
                done()
                wait_go()

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def round(self, work: Work) -> None:
        """The work in both threads."""
        self.work = work
        self._go()
        work()
        self._join()

    def close(self) -> None:
        """End the thread."""
        self.work = None
        self._go()
        self._thread.join()


def compiled_work(microseconds: float) -> Work:
    """A callable that computes for about so long without the GIL."""
    if not microseconds:
        return lambda: None
    spin = spinner()
    count = 1 << 16
    took = min(seconds_of(lambda: spin(count)) for _ in range(20))
    turns = max(1, round(count * microseconds * 1e-6 / took))
    return lambda: spin(turns)


def spinner() -> Callable[[int], Any]:
    """A function of the number of turns: compiled by Numba, or rows of a NumPy matrix product."""
    import numpy as np

    try:
        import numba
    except ImportError:
        left, right = np.ones((1 << 16, 16), np.float32), np.ones((16, 16), np.float32)
        return lambda turns: np.matmul(left[:turns], right)

    def spin(turns: int) -> int:
        state = 1
        for _ in range(turns):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        return state

    compiled: Callable[[int], Any] = numba.njit(nogil=True)(spin)
    compiled(1)
    return compiled


def chain(microseconds: float, elements: int) -> Callable[[int], None]:
    """A task whose lanes are chains of NumPy calls on ``elements`` floats each, about so long in all."""
    import numpy as np

    arrays = [np.ones(elements, np.float32) for _ in range(64)]

    def link(lane: int) -> None:
        np.add(arrays[lane], 1.0, arrays[lane])

    took = statistics.median(seconds_of(lambda: link(0)) for _ in range(500))
    links = max(1, round(microseconds * 1e-6 / took))

    def task(lane: int) -> None:
        for _ in range(links):
            link(lane)

    return task


def serially(task: Callable[[int], None]) -> None:
    """Both lanes in the calling thread."""
    task(0)
    task(1)


def seconds_of(run: Work) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def interleaved(contenders: dict[str, Work], rounds: int) -> dict[str, float]:
    """Median seconds of each contender, all run in each round; each round begins with the next.

    An idle CPU sleeps deeper the longer it is idle, so it matters who comes after one that leaves the other CPU idle.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for first in range(rounds):
        for name in (names[(first + offset) % len(names)] for offset in range(len(names))):
            seconds[name].append(seconds_of(contenders[name]))
    return {name: statistics.median(values[rounds // 10 :]) for name, values in seconds.items()}


def hand_over(microseconds: float, rounds: int) -> dict[str, float]:
    """Microseconds of a round over those of the lane alone, for each primitive and for ``parallel``."""
    from convir.runtime.workers import parallel

    work = compiled_work(microseconds)
    pairs = {name: Pair(primitive) for name, primitive in PRIMITIVES.items() if name != "eventfd" or hasattr(os, name)}
    contenders: dict[str, Work] = {"lane alone": work}
    contenders |= {name: partial(pair.round, work) for name, pair in pairs.items()}
    contenders["parallel()"] = lambda: parallel(lambda lane: work(), 2)
    try:
        medians = interleaved(contenders, rounds)
    finally:
        for pair in pairs.values():
            pair.close()
    alone = medians.pop("lane alone")
    return {"lane alone": alone * 1e6} | {name: (median - alone) * 1e6 for name, median in medians.items()}


def chains(microseconds: float, rounds: int) -> dict[str, float]:
    """Two lanes of NumPy calls one after the other over the same two by ``parallel``, by microseconds of one call."""
    from convir.runtime.workers import parallel

    ratios: dict[str, float] = {}
    for elements in (2_000, 10_000, 40_000, 160_000):
        task = chain(microseconds, elements)
        link = chain(0, elements)
        seconds = interleaved(
            {
                "link": partial(link, 0),
                "serial": partial(serially, task),
                "parallel": partial(parallel, task, 2),
            },
            rounds,
        )
        ratios[f"{seconds['link'] * 1e6:.1f}"] = seconds["serial"] / seconds["parallel"]
    return ratios


def report(result: dict[str, Any]) -> str:
    """The result as two tables."""
    from convir.common.table import Column, TextTable

    lengths = list(result["hand_over_microseconds"])
    names = list(result["hand_over_microseconds"][lengths[0]])
    rows = [[name, *(f"{result['hand_over_microseconds'][length][name]:.1f}" for length in lengths)] for name in names]
    costs = TextTable(
        [Column("microseconds over the lane"), *(Column(f"lane of {length}", "right") for length in lengths)],
        rows,
        title=f"Two lanes, one helper, median of {result['rounds']} interleaved rounds",
    )
    speed_up = TextTable(
        [Column("one NumPy call, microseconds", "right"), Column("speed-up of two lanes", "right")],
        [[call, f"{ratio:.2f}"] for call, ratio in result["chain_speed_up"].items()],
        title=f"Chains of NumPy calls, {result['chain_microseconds']:g} microseconds a lane",
    )
    return f"{costs.text()}\n\n{speed_up.text()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--microseconds", type=float, nargs="+", default=[0, 50, 200], help="lengths of the lanes")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--chain", type=float, default=200, help="microseconds of a chain of NumPy calls")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    # BLAS reads these once, when NumPy is imported; that is why the imports stand inside functions.
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    result = {
        "schema": "convir.benchmark.worker_latency/1",
        "rounds": options.rounds,
        "hand_over_microseconds": {f"{length:g}": hand_over(length, options.rounds) for length in options.microseconds},
        "chain_microseconds": options.chain,
        "chain_speed_up": chains(options.chain, options.rounds),
    }
    print(json.dumps(result, indent=2) if options.json else report(result))


if __name__ == "__main__":
    main()
