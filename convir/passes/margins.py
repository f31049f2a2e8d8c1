"""Margins that may be negative: padding and cropping in one."""

from __future__ import annotations

from convir.ir import Builder, Value
from convir.ir.ops import CHWN, Crop2d, Margins, Pad2d


def emit_margins(builder: Builder, image: Value, margins: Margins) -> Value:
    """(C, H, W, N) grown by margins of zeros where they are positive, then cut where they are negative.

    Args:
        builder: where the nodes go, as few as will do.
        image: (C, H, W, N)
        margins: rows before and after, columns before and after.
    """
    (top, bottom), (left, right) = margins
    grown = ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))
    cut = ((max(-top, 0), max(-bottom, 0)), (max(-left, 0), max(-right, 0)))
    if any(map(any, grown)):
        image = builder.emit(Pad2d(grown, CHWN), image)
    if any(map(any, cut)):
        image = builder.emit(Crop2d(cut, CHWN), image)
    return image
