"""The ``convir`` command: the library's main calls without writing Python."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from convir.cli.failure import explain, is_refusal
from convir.cli.parser import make_parser, with_joined_values

SUCCESS, FAILURE, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0 is success. 2 is wrong usage: the command line does not read, or what it names cannot be had, such as a model that
    cannot be loaded or traced, an input that does not fit it, a lowering that there is not. 1 is an error in the work
    itself. Either is one line on standard error. 130 is an interrupt, 141 a reader that went away. Standard output gets
    the result only; whatever else is printed, by the model's code as well, goes to standard error.
    """
    try:
        args = make_parser().parse_args(with_joined_values(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        with redirect_stdout(sys.stderr):
            result = args.run(args)
        _print(result, getattr(args, "json", False))
    except BrokenPipeError:
        return _reader_has_gone()
    except KeyboardInterrupt as interrupt:
        print("; ".join(["convir: interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if args.traceback:
            traceback.print_exc()
        else:
            print(f"convir: error: {explain(error)}", file=sys.stderr)
        return USAGE if is_refusal(error) else FAILURE
    return SUCCESS


def _print(result: Any, as_json: bool) -> None:
    """The result on standard output, whatever its encoding can show."""
    text = json.dumps(result.to_json(), indent=2, allow_nan=False) if as_json else str(result)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text, flush=True)


def _reader_has_gone() -> int:
    """``convir trace lenet5 | head -1``: nothing to say, and nothing left to flush at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a standard output without a file behind it
        return BROKEN_PIPE
    return BROKEN_PIPE
