"""convir beside the engines that people use, side by side in one run.

    pip install -e ".[bench]"
    python benchmarks/engines.py [--workloads NAME ...] [--engines NAME ...] [--threads 2] [--rounds N] [--quick]
                                 [--json PATH] [--plot PATH]

An inference takes a NumPy array that is in memory and returns a new array; a training step is forward, mean
cross-entropy and the gradients of all parameters, without an update and without the gradient of the images. The models
are defined in convir; the others are built from what it traces, with the same weights. What they compute is
compared before anything is timed, and an engine that is missing, cannot do it, fails or disagrees is listed with its
reason. Each runs as its users run it: convir with its defaults (parameters folded for inference), PyTorch in
``inference_mode`` or with ``backward()``, torch.compile in its default mode with fixed shapes, ONNX Runtime with all
optimisations, JAX with ``jit`` and parameters as arguments. Those that have a layout have NCHW.

Why each engine has a process of its own, and why they wait for each other
--------------------------------------------------------------------------
Threads that have finished a call spin for a while in case there is another. Whoever runs in that time shares the
cores with them. CPU time went on after the last call for 120 ms in NumPy's OpenBLAS, 40 ms in ONNX Runtime, 10 to 20 ms
in PyTorch's OpenMP, and not measurably in JAX. LeNet-5 inference on 2 cores, 4 engines, median ms of a call:

    batch                                     convir   PyTorch   ONNX Runtime   JAX
        8  alone in a process                   0.29      0.57           0.11   0.68
           this program                         0.31      0.59           0.11   0.78
           one process, call by call            1.74      6.78           0.37   1.47
           one process, burst by burst          0.35      0.64           0.19   1.20
       64  alone in a process                   1.29      2.23           0.71   4.16
           this program                         1.28      2.29           0.71   4.19
           one process, call by call            3.86      7.23           1.58   9.70
           one process, burst by burst          1.34      4.11           0.69   4.26

Call by call in one process makes PyTorch 12 times slower than it is, and JAX, which takes more than twice as long as
convir, faster than convir. Spinning could be turned off in ONNX Runtime (``session.intra_op.allow_spinning``), but
not everywhere, and it is what users run. So each engine has a process for each workload, which is kept alive; in a
round each in turn runs a burst of calls, after one that is not counted (it finds caches that others have filled and
threads that sleep), and answers only when its CPU time has stopped growing. Every other round goes the other way
round. That is within 4 % of running alone, but for JAX at batch 8 (15 %).

It cannot help against other programs. The report says in how many bursts they took more than a quarter of a core. With
more threads at work than cores, engines that wait at barriers (OpenMP's) fall back by orders of magnitude: PyTorch
took 284 ms instead of 2.2 for LeNet-5's batch of 64, convir on NumPy 2.2 instead of 1.3. Such a run is worth nothing.

``--workloads 'vgg16:*' 'resnet18:*'`` are the 3x3 layers of two networks one by one, and the engines ``convir-auto``
and ``convir-numba-auto`` let a model of the machine choose how each is computed.

All processes are kept on the same ``--threads`` CPUs where the system can do that, on top of each engine's own setting:
OMP_NUM_THREADS and its like for BLAS and OpenMP, ``torch.set_num_threads``, ``intra_op_num_threads``, and for XLA
PJRT_NPROC, see :mod:`harness.threads`. "cores busy" in the tables is measured: CPU time over wall time in a burst.

Cold start is a new process with empty compiler caches; reading the libraries from disk is as warm as the machine is.
Peak memory is the process's largest resident set ever (VmHWM): interpreter, shared libraries and compilation in it,
compilers that run as processes of their own not. The part in brackets is what came after imports and input data;
imports that only happen while compiling (torch.compile) count there.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path

from harness.threads import set_threads, usable_cpus

ROUNDS, QUICK_ROUNDS = 11, 5


def parser() -> argparse.ArgumentParser:
    from harness.engines import ENGINES
    from harness.workloads import WORKLOADS

    names = {"workloads": [w.name for w in WORKLOADS], "engines": [engine.name for engine in ENGINES]}
    listed = "\n".join(
        textwrap.fill(f"{key}: {', '.join(value)}", 100, break_on_hyphens=False) for key, value in names.items()
    )
    made = argparse.ArgumentParser(
        description=f"{__doc__}\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--workloads", nargs="+", metavar="NAME", help="names or patterns, such as 'lenet5-*'")
    usual = [engine.name for engine in ENGINES if engine.is_usual]
    made.add_argument(
        "--engines", nargs="+", metavar="NAME", default=usual, help="default: all but auto; convir runs in any case"
    )
    made.add_argument("--threads", type=int, default=min(2, usable_cpus()), help="of every engine (default: 2)")
    made.add_argument("--rounds", type=int, help=f"of bursts (default: {ROUNDS}, with --quick {QUICK_ROUNDS})")
    made.add_argument("--quick", action="store_true", help="a few workloads and rounds, in about two minutes")
    made.add_argument("--json", type=Path, metavar="PATH", help="write all figures as JSON")
    made.add_argument("--plot", type=Path, metavar="PATH", help="draw the ratios: .png, .svg or .pdf")
    return made


def main() -> None:
    options = parser().parse_args()
    # This process computes nothing, and its BLAS is to have no threads that could.
    set_threads(1)
    try:
        _check(options)
    except (ValueError, OSError) as error:
        sys.exit(f"engines.py: {error}")
    from harness.plot import plot
    from harness.report import report
    from harness.run import run

    from convir.common.files import write_atomically

    results = run(options.workloads, options.engines, options.threads, options.rounds, _say)
    _say("")
    print(report(results))
    if options.json:
        print(f"wrote {write_atomically(options.json, json.dumps(results.to_json(), indent=2) + chr(10))}")
    if options.plot:
        print(f"wrote {plot(results, options.plot)}")
    if results.wrong:
        sys.exit("\n".join(results.wrong))


def _check(options: argparse.Namespace) -> None:
    """Fill in what depends on ``--quick``; raise ValueError or OSError for what cannot be done, before measuring."""
    from harness import engines, workloads

    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.workloads = workloads.chosen(options.workloads or (list(workloads.QUICK) if options.quick else ["*"]))
    options.engines = engines.chosen(options.engines)
    if not 1 <= options.threads <= usable_cpus():
        raise ValueError(
            f"--threads must be from 1 to {usable_cpus()}, the CPUs of this process; got {options.threads}"
        )
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    if options.json:
        from convir.common.files import require_writable

        require_writable(options.json)
    if options.plot:
        from harness.plot import require_plottable

        require_plottable(options.plot)


def _say(line: str) -> None:
    """What is happening, on one line of a terminal, replaced by the next; nothing where there is none."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
