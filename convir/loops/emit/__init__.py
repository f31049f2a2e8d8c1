"""From loop nests and their schedules to Python source."""

from convir.loops.emit.nest import emit_nest
from convir.loops.emit.writer import Writer

__all__ = ["Writer", "emit_nest"]
