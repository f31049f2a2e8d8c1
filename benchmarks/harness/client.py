"""Our side of an engine's process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.threads import thread_environment

#: Seconds that an engine gets to import and compile, for an answer after that, and to end.
START_LIMIT, ANSWER_LIMIT, _END_LIMIT = 300.0, 120.0, 10.0
_HOME = Path(__file__).parent.parent


class WorkerError(Exception):
    """The process ended, or did not answer in time; the message has the last line that it printed."""


class Worker:
    """A process that has built one case with one engine; see :mod:`harness.worker`.

    Attributes:
        report: its first answer: ``status`` is ready, unavailable or failed.
    """

    def __init__(self, engine: str, folder: Path, threads: int) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.worker", engine, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            env=_environment(threads, folder / f"cache-{engine}"),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.report = self._answer(START_LIMIT)
        except WorkerError as error:
            self.report = {"status": "failed", "reason": str(error)}

    @property
    def ready(self) -> bool:
        """Whether it has a program to run."""
        return bool(self.report["status"] == "ready")

    def run(self, calls: int) -> dict[str, Any]:
        """A burst of calls; see :func:`harness.worker.burst`. Raises WorkerError."""
        assert self._process.stdin is not None
        try:
            print(calls, file=self._process.stdin, flush=True)
        except OSError:
            raise WorkerError(self._last_words()) from None
        return self._answer(ANSWER_LIMIT)

    def finish(self) -> int | None:
        """End it; the most bytes that it had in memory, None where the system does not tell. Raises WorkerError."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak: int | None = self._answer(ANSWER_LIMIT)["peak_bytes"]
        return peak

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # It ends by itself, and what it started with it; unless it hangs.
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_LIMIT if kind is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, limit: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            raise WorkerError(f"no answer in {limit:.0f} s") from None
        if not line:
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return f"its process ended with {code}" + (f": {lines[-1][:300]}" if lines else "")


def _environment(threads: int, cache: Path) -> dict[str, str]:
    """Thread counts, CPU only, and compiler caches that are empty, so that the first result is a cold one."""
    return {
        **os.environ,
        **thread_environment(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH")))),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "CUDA_VISIBLE_DEVICES": "",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "NUMBA_CACHE_DIR": str(cache / "numba"),
        "CONVIR_CACHE_DIR": str(cache / "convir"),
    }
