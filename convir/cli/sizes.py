"""Numbers and sizes as users type them: pairs, lists, and a convolution in four of them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from convir.ir import UnsupportedError

#: ``3``, or ``3x5`` for rows and columns.
_PAIR = re.compile(r"([0-9]+)(?:x([0-9]+))?")

_PREFIXES = "kmgt"

#: Bytes, or so many of a binary unit.
_BYTES = re.compile(rf"([0-9]+) ?b?|([0-9]+(?:\.[0-9]+)?) ?([{_PREFIXES}])ib", re.IGNORECASE)


def positive_integer(text: str) -> int:
    """1, 2, 3, ..."""
    if not re.fullmatch(r"[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def natural_number(text: str) -> int:
    """0, 1, 2, ..."""
    if not re.fullmatch(r"[0-9]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or a positive integer")
    return int(text)


def byte_count(text: str) -> int:
    """``65536``, ``512B``, ``64KiB``, ``1.5 GiB``; raises ArgumentTypeError for anything else.

    So for ``64K`` and ``64KB``: those are 64,000 to one reader and 65,536 to the next.
    """
    found = _BYTES.fullmatch(text.strip())
    if not found:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of bytes: write such as 65536, 64KiB, 4MiB or 1.5GiB (powers of 1024; K and KB may "
            "be either)"
        )
    whole, scaled, unit = found.groups()
    return int(whole) if whole else int(Fraction(scaled) * 1024 ** (1 + _PREFIXES.index(unit.lower())))


def positive_number(text: str) -> float:
    """Any finite number above zero."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def parse_pair(text: str) -> tuple[int, int]:
    """``3`` or ``3x5``: rows and columns; raises ArgumentTypeError for anything else."""
    found = _PAIR.fullmatch(text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor two for rows and columns, such as 3x5")
    return int(found[1]), int(found[2] or found[1])


def parse_padding(text: str) -> tuple[int, int] | str:
    """``same``, or a pair; raises ArgumentTypeError for anything else."""
    return text if text == "same" else parse_pair(text)


def parse_values(text: str) -> list[int]:
    """``8,16,32``; raises ArgumentTypeError naming what is none."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"[0-9]+", part) or int(part) == 0:
            raise argparse.ArgumentTypeError(f"{text!r}: {part!r} is not a positive integer; write such as 8,16,32")
    return [int(part) for part in parts]


def is_layer(text: str) -> bool:
    """Whether ``text`` is meant as sizes, and not as the name of a layer."""
    return "," in text or text[:1].isdigit()


def layer_sizes(text: str) -> tuple[int, int, tuple[int, int], tuple[int, int]]:
    """``64,128,3,56`` as channels, filters, kernel and image; raises UnsupportedError naming what cannot be read."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4:
        raise UnsupportedError(f"--layer takes four sizes, C,O,K,H, such as 64,128,3,56; {text} has {len(parts)}")
    channels, filters = (_number(part, text) for part in parts[:2])
    kernel, image = (_pair(part, text) for part in parts[2:])
    return channels, filters, kernel, image


def _number(part: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]+", part):
        raise UnsupportedError(
            f"--layer {text}: {part!r} is not a positive integer; write C,O,K,H, such as 64,128,3,56"
        )
    return int(part)


def _pair(part: str, text: str) -> tuple[int, int]:
    try:
        return parse_pair(part)
    except argparse.ArgumentTypeError as error:
        raise UnsupportedError(f"--layer {text}: {error}") from None


def given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Those of the options that were given, by name."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}
