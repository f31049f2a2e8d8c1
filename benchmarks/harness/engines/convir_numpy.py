"""convir on NumPy, as compiled without further arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.engines import Program

if TYPE_CHECKING:
    from harness.case import Case


def load(threads: int) -> dict[str, str]:
    """NumPy's BLAS has read the number of threads from the environment."""
    import numpy as np

    import convir

    return {"convir": convir.__version__, "numpy": np.__version__}


def build(case: Case) -> Program:
    return build_with(case)


def build_with(case: Case, **options: Any) -> Program:
    """``options`` go to ``convir.compile``. An inference returns an array of its own, as all engines do."""
    import convir
    from harness.models import MODELS, step_of

    if "threads" in inspect.signature(convir.compile).parameters:
        options["threads"] = case.threads
    model = MODELS[case.model]()
    model.load_state_dict(case.weights)
    if not case.training:
        inference = convir.compile(model, case.images.shape, inference=True, **options)
        return Program(lambda: inference(case.images), lambda y: [y])
    loss, specs, names = step_of(model, case.images.shape)
    step = convir.compile(loss, *specs, wrt=names, **options)

    def call() -> tuple[Any, Any]:
        (loss,) = step.run_forward(case.images, case.labels)
        return loss, step.run_backward()

    # The loss's memory is free once the backward has run.
    def arrays(result: tuple[Any, Any]) -> list[Any]:
        gradients = [result[1][name].copy() for name in names]
        return [step.run_forward(case.images, case.labels)[0].copy(), *gradients]

    return Program(call, arrays)
