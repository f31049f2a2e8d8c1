"""The ``convir`` command.

It stands outside of the package: importing that takes a few tenths of a second, and an interrupt then ends as quietly
as one that comes later.
"""

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command line and return the exit status: see :func:`convir.cli.main`."""
    try:
        from convir.cli import main as command

        return command()
    except KeyboardInterrupt:
        print("convir: interrupted", file=sys.stderr)
        return INTERRUPTED
