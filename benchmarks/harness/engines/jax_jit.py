"""JAX with jit, on XLA's CPU backend, in NCHW (NHWC was within noise of it); the parameters are arguments.

XLA sizes its thread pool by the environment, see :mod:`harness.threads`. Its direct convolution of wide layers
runs on one thread however many it has: 64 images of 32 channels kept 1.1 of 2 cores busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.engines import Program
from harness.layers import Layer, require_linear

if TYPE_CHECKING:
    from harness.case import Case


def load(threads: int) -> dict[str, str]:
    import jax
    import numpy as np

    return {"jax": jax.__version__, "numpy": np.__version__}


def build(case: Case) -> Program:
    import jax
    import jax.numpy as jnp
    import numpy as np

    def forward(weights: dict[str, Any], x: Any) -> Any:
        for layer in case.layers:
            x = _apply(layer, weights, x)
        return x

    def loss_of(weights: dict[str, Any], x: Any, target: Any) -> Any:
        scores = jax.nn.log_softmax(forward(weights, x))
        return -jnp.take_along_axis(scores, target[:, None], axis=1).mean()

    weights = {name: jnp.asarray(array) for name, array in case.weights.items()}
    x, target = jnp.asarray(case.images), jnp.asarray(case.labels.astype("int32"))
    if not case.training:
        infer = jax.jit(forward)
        return Program(lambda: jax.block_until_ready(infer(weights, x)), lambda y: [np.asarray(y)])
    step = jax.jit(jax.value_and_grad(loss_of))

    def arrays(result: Any) -> list[Any]:
        return [np.asarray(result[0]), *(np.asarray(result[1][name]) for name in case.weights)]

    return Program(lambda: jax.block_until_ready(step(weights, x, target)), arrays)


def _apply(layer: Layer, weights: dict[str, Any], x: Any) -> Any:
    import jax

    given, parameters = layer.attributes, [weights[name] for name in layer.parameters]
    match layer.kind:
        case "conv2d":
            weight, *bias = parameters
            y = jax.lax.conv_general_dilated(
                *(x, weight, given["stride"], [(p, p) for p in given["padding"]]),
                rhs_dilation=given["dilation"],
                feature_group_count=given["groups"],
            )
            return y + bias[0][:, None, None] if bias else y
        case "max_pool2d":
            return _max_pool(given, x)
        case "matmul":
            require_linear(layer)
            weight, *bias = parameters
            return x @ weight.T + bias[0] if bias else x @ weight.T
        case "relu":
            return jax.nn.relu(x)
        case "flatten":
            return x.reshape(x.shape[0], -1)
    raise ValueError(f"no JAX function for {layer.kind}")


def _max_pool(given: dict[str, Any], x: Any) -> Any:
    import jax

    return jax.lax.reduce_window(
        *(x, -float("inf"), jax.lax.max, (1, 1, *given["kernel_size"]), (1, 1, *given["stride"])),
        padding=[(0, 0), (0, 0), *((p, p) for p in given["padding"])],
        window_dilation=(1, 1, *given["dilation"]),
    )
