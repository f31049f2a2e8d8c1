"""ONNX Runtime on its CPU provider, with the model that convir's graph exports to; inference only.

Its threads spin for a while after a call, which is its default and speeds up the next one. Other engines
do not feel it: nobody runs before the process is idle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines import Program, UnavailableError

if TYPE_CHECKING:
    from harness.case import Case


def load(threads: int) -> dict[str, str]:
    import numpy as np
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}


def build(case: Case) -> Program:
    import onnxruntime

    if case.training:
        raise UnavailableError("the onnxruntime package runs forward only")
    if case.onnx is None:
        raise UnavailableError("exporting the model needs the onnx package, which is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
    session = onnxruntime.InferenceSession(case.onnx, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: case.images}
    return Program(lambda: session.run(None, feed), list)
