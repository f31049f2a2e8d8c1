"""Loop nests as data: what ops compute element by element, how loops run, and their source."""

from convir.loops import rules
from convir.loops.function import Function, write_function
from convir.loops.nest import Nest, Program, Store, Together
from convir.loops.registry import LOOPS, Operand, identifier, loops, program_for
from convir.loops.schedule import Processor, Schedule

__all__ = [
    "LOOPS",
    "Function",
    "Nest",
    "Operand",
    "Processor",
    "Program",
    "Schedule",
    "Store",
    "Together",
    "identifier",
    "loops",
    "program_for",
    "rules",
    "write_function",
]
