"""What runs graphs: kernels, the arena, executables."""

from convir.runtime.arena import Arena, machine_bytes
from convir.runtime.evaluate import evaluate
from convir.runtime.executable import BoundStep, Executable, scratch_types
from convir.runtime.kernels import KERNELS, Kernel, kernel

__all__ = [
    "KERNELS",
    "Arena",
    "BoundStep",
    "Executable",
    "Kernel",
    "evaluate",
    "kernel",
    "machine_bytes",
    "scratch_types",
]
