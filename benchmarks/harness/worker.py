"""The process of one engine: ``python -m harness.worker ENGINE FOLDER THREADS``.

It builds the case in FOLDER, writes what the engine computed there, answers with one line of JSON, and then for each
number that it reads runs so many calls and answers with their times. When standard input ends it tells its
peak memory and ends. Nothing but the standard library is imported before the engine's own import is timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from harness.engines import ENGINES, Program, UnavailableError
from harness.load import Moment
from harness.memory import peak_bytes, resident_bytes
from harness.threads import pin
from harness.timing import seconds_of, wait_until_idle


def started(engine: str, folder: Path, threads: int) -> tuple[Program, dict[str, Any]]:
    """Import, read the case, build, compute once: the program, and what each of it took."""
    pin(threads)
    module = import_module(f"harness.engines.{next(e.module for e in ENGINES if e.name == engine)}")
    begin = time.perf_counter()
    versions = module.load(threads)
    imported = time.perf_counter() - begin
    from harness.case import read_case

    case = read_case(folder)
    before = resident_bytes()
    begin = time.perf_counter()
    program: Program = module.build(case)
    result = program.call()
    first = time.perf_counter() - begin
    _write_result(program.arrays(result), folder / f"{engine}.npz")
    answer = {"versions": versions, "import_seconds": imported, "first_result_seconds": first, "loaded_bytes": before}
    return program, answer


def _write_result(arrays: list[Any], path: Path) -> None:
    import numpy as np

    np.savez(path, *arrays)


def burst(call: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Run ``calls`` times back to back after a call that is not counted, and wait until the process is idle.

    The first call meets caches that others have filled and threads that sleep; the rest are an engine at work.
    """
    call()
    begin = Moment.now()
    seconds = seconds_of(call, calls)
    end = Moment.now()
    return {
        "seconds": seconds,
        "busy_cores": end.busy_cores(begin),
        "other_cores": end.other_cores(begin),
        "settling_seconds": wait_until_idle(),
    }


def serve(engine: str, folder: Path, threads: int, answers: IO[str]) -> None:
    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        program, report = started(engine, folder, threads)
    except ModuleNotFoundError as error:
        return answer({"status": "unavailable", "reason": f"{error.name} is not installed"})
    except UnavailableError as error:
        return answer({"status": "unavailable", "reason": str(error)})
    except Exception as error:
        return answer({"status": "failed", "reason": f"{type(error).__name__}: {_first_line(error)}"})
    wait_until_idle()
    answer({"status": "ready", **report})
    for line in sys.stdin:
        answer(burst(program.call, int(line)))
    return answer({"peak_bytes": peak_bytes()})


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:300]


def main() -> None:
    engine, folder, threads = sys.argv[1:]
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        serve(engine, Path(folder), int(threads), answers)


if __name__ == "__main__":
    main()
