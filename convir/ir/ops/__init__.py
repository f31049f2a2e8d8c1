"""Every operation there is. One module a family; the same stem holds its gradient, cost and kernels.

The ops that models are made of are imported with this; those that lowering makes when one is first asked for (PEP 562),
since writing and tracing a model needs none of them and a dataclass takes a millisecond to make.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convir.ir.ops.activation import (
    ACTIVATIONS,
    ActivationGradOp,
    ActivationOp,
    Relu,
    ReluGrad,
    Sigmoid,
    SigmoidGrad,
    Tanh,
    TanhGrad,
)
from convir.ir.ops.constant import Constant, Literal
from convir.ir.ops.conv import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp
from convir.ir.ops.elementwise import Add, BinaryOp, Div, Exp, Log, Mul, Neg, Sqrt, Sub, UnaryOp, broadcast_shapes
from convir.ir.ops.layout import CHWN, NCHW, inverse, permutation, spatial_axes, spatial_size
from convir.ir.ops.loss import CrossEntropy, CrossEntropyGrad, CrossEntropyOp
from convir.ir.ops.matmul import MatMul
from convir.ir.ops.pool import (
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    AvgPoolOp,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
)
from convir.ir.ops.random import DropoutMask
from convir.ir.ops.reduce import Max, MaxGrad, Mean, ReduceOp, Sum
from convir.ir.ops.shape import (
    BroadcastTo,
    Crop2d,
    Flatten,
    LayoutOp,
    MarginOp,
    Margins,
    Pad2d,
    Reshape,
    Slice2d,
    Slice2dGrad,
    Transpose,
    normalize_axis,
)
from convir.ir.ops.window import WindowOp, extent, window_count

if TYPE_CHECKING:
    from convir.ir.ops.depthwise import (
        DepthwiseConv2d,
        DepthwiseConv2dGradInput,
        DepthwiseConv2dGradWeight,
        DepthwiseOp,
    )
    from convir.ir.ops.dft import ComplexMatMul, Dft2d, DftOp, Idft2d
    from convir.ir.ops.direct import Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, DirectConvOp, FlipWeight
    from convir.ir.ops.im2col import Col2im, Im2col, PatchOp
    from convir.ir.ops.im2col_matmul import (
        Im2colMatMul,
        Im2colMatMulGradInput,
        Im2colMatMulGradWeight,
        Im2colMatMulOp,
    )
    from convir.ir.ops.maxout import Maxout, MaxoutGrad, MaxoutOp
    from convir.ir.ops.polyphase import PolyphaseOp
    from convir.ir.ops.region import Region
    from convir.ir.ops.shift import ShiftedMatMul, ShiftedMatMulGradInput, ShiftedMatMulGradWeight, ShiftOp
    from convir.ir.ops.toeplitz import DepthToSpace, SpaceToDepth, ToeplitzWeight, ToeplitzWeightGrad
    from convir.ir.ops.winograd import (
        WinogradInput,
        WinogradOp,
        WinogradOutput,
        WinogradOutputGrad,
        WinogradWeight,
        WinogradWeightGrad,
    )

__all__ = [
    "ACTIVATIONS",
    "CHWN",
    "NCHW",
    "ActivationGradOp",
    "ActivationOp",
    "Add",
    "AvgPool2d",
    "AvgPool2dGrad",
    "AvgPool2dGradTaps",
    "AvgPool2dTaps",
    "AvgPoolOp",
    "BinaryOp",
    "BroadcastTo",
    "Col2im",
    "ComplexMatMul",
    "Constant",
    "Conv2d",
    "Conv2dDirect",
    "Conv2dDirectGradWeight",
    "Conv2dGradInput",
    "Conv2dGradWeight",
    "ConvOp",
    "Crop2d",
    "CrossEntropy",
    "CrossEntropyGrad",
    "CrossEntropyOp",
    "DepthToSpace",
    "DepthwiseConv2d",
    "DepthwiseConv2dGradInput",
    "DepthwiseConv2dGradWeight",
    "DepthwiseOp",
    "Dft2d",
    "DftOp",
    "Dilate2d",
    "DirectConvOp",
    "Div",
    "DropoutMask",
    "Exp",
    "Flatten",
    "FlipWeight",
    "Idft2d",
    "Im2col",
    "Im2colMatMul",
    "Im2colMatMulGradInput",
    "Im2colMatMulGradWeight",
    "Im2colMatMulOp",
    "LayoutOp",
    "Literal",
    "Log",
    "MarginOp",
    "Margins",
    "MatMul",
    "Max",
    "MaxGrad",
    "MaxPool2d",
    "MaxPool2dGrad",
    "MaxPool2dGradTaps",
    "MaxPool2dTaps",
    "Maxout",
    "MaxoutGrad",
    "MaxoutOp",
    "Mean",
    "Mul",
    "Neg",
    "Pad2d",
    "PatchOp",
    "PolyphaseOp",
    "PoolOp",
    "ReduceOp",
    "Region",
    "Relu",
    "ReluGrad",
    "Reshape",
    "ShiftOp",
    "ShiftedMatMul",
    "ShiftedMatMulGradInput",
    "ShiftedMatMulGradWeight",
    "Sigmoid",
    "SigmoidGrad",
    "Slice2d",
    "Slice2dGrad",
    "SpaceToDepth",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "TanhGrad",
    "ToeplitzWeight",
    "ToeplitzWeightGrad",
    "Transpose",
    "UnaryOp",
    "WindowOp",
    "WinogradInput",
    "WinogradOp",
    "WinogradOutput",
    "WinogradOutputGrad",
    "WinogradWeight",
    "WinogradWeightGrad",
    "broadcast_shapes",
    "extent",
    "inverse",
    "normalize_axis",
    "permutation",
    "spatial_axes",
    "spatial_size",
    "window_count",
]

#: Name -> the module that it is imported from when it is first asked for.
_LOWERED = {
    "Col2im": "im2col",
    "ComplexMatMul": "dft",
    "Conv2dDirect": "direct",
    "Conv2dDirectGradWeight": "direct",
    "DepthToSpace": "toeplitz",
    "DepthwiseConv2d": "depthwise",
    "DepthwiseConv2dGradInput": "depthwise",
    "DepthwiseConv2dGradWeight": "depthwise",
    "DepthwiseOp": "depthwise",
    "Dft2d": "dft",
    "DftOp": "dft",
    "Dilate2d": "direct",
    "DirectConvOp": "direct",
    "FlipWeight": "direct",
    "Idft2d": "dft",
    "Im2col": "im2col",
    "Im2colMatMul": "im2col_matmul",
    "Im2colMatMulGradInput": "im2col_matmul",
    "Im2colMatMulGradWeight": "im2col_matmul",
    "Im2colMatMulOp": "im2col_matmul",
    "Maxout": "maxout",
    "MaxoutGrad": "maxout",
    "MaxoutOp": "maxout",
    "PatchOp": "im2col",
    "PolyphaseOp": "polyphase",
    "Region": "region",
    "ShiftOp": "shift",
    "ShiftedMatMul": "shift",
    "ShiftedMatMulGradInput": "shift",
    "ShiftedMatMulGradWeight": "shift",
    "SpaceToDepth": "toeplitz",
    "ToeplitzWeight": "toeplitz",
    "ToeplitzWeightGrad": "toeplitz",
    "WinogradInput": "winograd",
    "WinogradOp": "winograd",
    "WinogradOutput": "winograd",
    "WinogradOutputGrad": "winograd",
    "WinogradWeight": "winograd",
    "WinogradWeightGrad": "winograd",
}

if not TYPE_CHECKING:  # a type checker has the imports above, and reports a name that is neither there nor here

    def __getattr__(name: str) -> Any:
        if name not in _LOWERED:
            raise AttributeError(f"module 'convir.ir.ops' has no attribute {name!r}")
        module = import_module(f"convir.ir.ops.{_LOWERED[name]}")
        return globals().setdefault(name, getattr(module, name))
