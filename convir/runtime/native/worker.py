"""A process that compiles: ``python -m convir.runtime.native.worker``.

It reads jobs from standard input, a line of JSON each, and answers each with a line: the key and
either the object code (base64) or why there is none.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
from importlib import import_module
from typing import Any

from convir.runtime.native.compiler import CompileError, Job, compile_job

#: What a worker says first.
READY = "ready\n"


def question(job: Job) -> str:
    """A job as a line."""
    return json.dumps(vars(job)) + "\n"


def answer(line: str) -> str:
    """Do the job of a line."""
    job = Job(**json.loads(line))
    reply: dict[str, Any] = {"key": job.key}
    try:
        reply["object"] = base64.b64encode(compile_job(job).to_bytes()).decode()
    except CompileError as error:
        reply["error"] = str(error)
    return json.dumps(reply) + "\n"


def main() -> None:
    """Serve until the input ends; what anything prints goes to standard error, not between the answers."""
    # Numba makes many objects that stay: looking for cycles among them costs a twentieth.
    gc.disable()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    # Answers are about compiling only: what cannot even be imported shows before the first.
    import_module("convir.runtime.native.lowering")
    answers.write(READY)
    answers.flush()
    for line in sys.stdin:
        answers.write(answer(line))
        answers.flush()


if __name__ == "__main__":
    main()
