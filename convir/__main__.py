"""``python -m convir``: the same as the ``convir`` command."""

import sys

from convir.cli import main

if __name__ == "__main__":
    sys.exit(main())
