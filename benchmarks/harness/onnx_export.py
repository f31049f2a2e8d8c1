"""A traced graph as an ONNX model, with onnx.helper alone: the engines that read ONNX need no PyTorch for it.

Operators and their attributes: https://onnx.ai/onnx/operators/, opset 17.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convir import Graph
    from convir.ir import Node

OPSET, IR_VERSION = 17, 8


def export(graph: Graph) -> bytes:
    """The float32 model with its parameters as initializers, serialised; values keep their names.

    Raises:
        ValueError: an op, or an attribute of one, that is not translated here.
    """
    import onnx
    from onnx import helper, numpy_helper

    nodes = [_translated(node) for node in graph.nodes]
    weights = [numpy_helper.from_array(item.data, name) for name, item in graph.bindings.items()]
    proto = helper.make_graph(nodes, graph.name, _typed(graph.inputs), _typed(graph.outputs), weights)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString()
    return serialised


def _typed(values: Any) -> list[Any]:
    from onnx import TensorProto, helper

    return [helper.make_tensor_value_info(value.name, TensorProto.FLOAT, value.type.shape) for value in values]


def _translated(node: Node) -> Any:
    from onnx import helper

    if node.op.name not in _RULES:
        raise ValueError(f"{node.outputs[0].name}: no ONNX operator for {node.op.name}")
    operator, attributes = _RULES[node.op.name](node.op)
    names = [value.name for value in node.inputs], [value.name for value in node.outputs]
    return helper.make_node(operator, *names, name=node.outputs[0].name, **attributes)


def _window(op: Any) -> dict[str, Any]:
    # ONNX pads the beginning of every axis, then the end of every axis.
    return {"strides": op.stride, "pads": [*op.padding, *op.padding], "dilations": op.dilation}


def _conv(op: Any) -> tuple[str, dict[str, Any]]:
    _require_plain(op)
    return "Conv", {**_window(op), "group": op.groups}


def _max_pool(op: Any) -> tuple[str, dict[str, Any]]:
    return "MaxPool", {**_window(op), "kernel_shape": op.kernel_size, "ceil_mode": int(op.ceil_mode)}


def _flatten(op: Any) -> tuple[str, dict[str, Any]]:
    if (op.start_dim, op.end_dim) != (1, -1):
        raise ValueError(f"ONNX flattens to two axes; flatten({op.start_dim}, {op.end_dim}) is not translated")
    return "Flatten", {"axis": 1}


def _gemm(op: Any) -> tuple[str, dict[str, Any]]:
    _require_plain(op)
    return "Gemm", {"transA": int(op.transpose_a), "transB": int(op.transpose_b)}


def _require_plain(op: Any) -> None:
    if op.activation is not None:
        raise ValueError(f"export what was traced: {op.name} has {op.activation} fused into it")


_RULES: dict[str, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    "conv2d": _conv,
    "relu": lambda op: ("Relu", {}),
    "max_pool2d": _max_pool,
    "flatten": _flatten,
    "matmul": _gemm,
}
