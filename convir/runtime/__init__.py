"""What runs graphs: kernels, the arena, executables."""

from convir.runtime.arena import Arena, machine_bytes
from convir.runtime.backends import BACKENDS, kernels_for
from convir.runtime.blas import blas_threads
from convir.runtime.build_report import BuildReport
from convir.runtime.cpus import machine_cpus, thread_count
from convir.runtime.evaluate import evaluate
from convir.runtime.executable import Executable
from convir.runtime.kernel_set import NUMPY, BoundStep, KernelSet
from convir.runtime.kernels import KERNELS, Kernel, kernel
from convir.runtime.lanes import Copy, LaneSet, Row
from convir.runtime.source import program_source
from convir.runtime.workers import parallel

__all__ = [
    "BACKENDS",
    "KERNELS",
    "NUMPY",
    "Arena",
    "BoundStep",
    "BuildReport",
    "Copy",
    "Executable",
    "Kernel",
    "KernelSet",
    "LaneSet",
    "Row",
    "blas_threads",
    "evaluate",
    "kernel",
    "kernels_for",
    "machine_bytes",
    "machine_cpus",
    "parallel",
    "program_source",
    "thread_count",
]
