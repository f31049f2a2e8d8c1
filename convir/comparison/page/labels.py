"""Names beside points, where no point and no other name is."""

from __future__ import annotations

import math

from convir.common.markup import Markup
from convir.comparison.page.drawing import label

#: Width of a character and height of a line; half the size of a mark.
_CHARACTER, _LINE, _MARK = 6.8, 13.0, 6.0
#: Distance between the boxes that keep names off a line.
_STEP = 8.0

_Box = tuple[float, float, float, float]


class Labels:
    """The room that is taken, and what is written into the rest.

    A name goes to the first free place around its point, nearest first; where there is none it is left out: the pointer
    and the keyboard still reach what it says.
    """

    def __init__(self, right: float, top: float, bottom: float) -> None:
        self._taken: list[_Box] = []
        self._right, self._top, self._bottom = right, top, bottom

    def block(self, point: tuple[float, float]) -> None:
        """No name over this point's mark."""
        x, y = point
        self._taken.append((x - _MARK, y - _MARK, x + _MARK, y + _MARK))

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """No name across this line."""
        steps = max(int(math.dist(start, end) / _STEP), 1)
        for step in range(steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self._taken.append((x - 2, y - 2, x + 2, y + 2))

    def above(self, x: float, y: float, content: str, anchor: str) -> Markup:
        """Text that stands where it must: above a line, ending at ``x``."""
        width = _CHARACTER * len(content)
        self._taken.append((x - width, y - 6 - _LINE, x, y - 2))
        return label(x, y - 6, content, anchor, "soft")

    def beside(self, point: tuple[float, float], content: str) -> Markup:
        """The name in the first free place around the point; nothing where all are taken."""
        width = _CHARACTER * len(content)
        for x, y in _places(point, width):
            box = (x - 2, y - _LINE + 3, x + width + 2, y + 3)
            if self._is_free(box):
                self._taken.append(box)
                return label(x, y, content)
        return Markup()

    def _is_free(self, box: _Box) -> bool:
        left, top, right, bottom = box
        if left < 0 or right > self._right or top < self._top or bottom > self._bottom:
            return False
        return not any(left < r and right > x and top < b and bottom > y for x, y, r, b in self._taken)


def _places(point: tuple[float, float], width: float) -> list[tuple[float, float]]:
    """Where text may begin: above, to the right, to the left, below; then the same farther away."""
    x, y = point
    near = [(x - width / 2, y - 9), (x + 9, y + 4), (x - 9 - width, y + 4), (x - width / 2, y + 18)]
    far = [(x + 7, y - 9), (x - 7 - width, y - 9), (x + 7, y + 18), (x - 7 - width, y + 18), (x - width / 2, y - 20)]
    return near + far
