"""The same number of threads for every library, set before any of them is imported."""

from __future__ import annotations

import os

#: What BLAS and OpenMP libraries read, once, when they are loaded.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

#: Numba, then XLA: the size of the thread pool of its CPU client (``DefaultThreadPoolSize`` reads the newer name
#: first). The XLA_FLAGS that are often recommended, --xla_cpu_multi_thread_eigen=false with
#: intra_op_parallelism_threads=1, change nothing in JAX 0.10: a matrix product kept 1.94 of 2 cores busy under
#: them, and 1.00 under PJRT_NPROC=1.
OTHER_THREAD_SETTINGS = ("NUMBA_NUM_THREADS", "PJRT_NPROC", "NPROC")


def usable_cpus() -> int:
    """The CPUs that this process may run on; where the system does not tell, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(threads: int) -> None:
    """Let BLAS and OpenMP use ``threads`` threads; only for libraries that this process has yet to import."""
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, str(threads)))


def thread_environment(threads: int) -> dict[str, str]:
    """Variables for a process in which every engine is to use ``threads`` threads."""
    return dict.fromkeys((*THREAD_SETTINGS, *OTHER_THREAD_SETTINGS), str(threads))


def pin(threads: int) -> None:
    """Keep this process on ``threads`` of its CPUs, the same for all processes; does nothing where it cannot.

    XLA has helper threads that no setting counts; this bounds what they can take, too.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
