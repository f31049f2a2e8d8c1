"""Small graphs for the tests of the views and pictures, built by hand."""

from dataclasses import replace

from convir.ir import Builder, Graph, Op, Source, TensorType, Value, ops


class ScopedBuilder(Builder):
    """A builder whose nodes say their scope and maker in one call."""

    def node(self, scope: str, op: Op, *operands: Value, name: str = "", made_by: str = "") -> Value:
        source = Source("/models/net.py", 12)
        self.provenance = replace(self.provenance, scope=scope, source=source, made_by=made_by)
        return self.emit(op, *operands, name=name or scope)


def convnet() -> Graph:
    """conv, relu, pool in ``features``, then flatten and a linear layer."""
    b = ScopedBuilder("convnet")
    x = b.input("x", TensorType((4, 1, 28, 28)))
    weight, bias = b.param("features.0.weight", TensorType((6, 1, 5, 5))), b.param("features.0.bias", TensorType((6,)))
    linear = b.param("fc.weight", TensorType((10, 1176)))
    y = b.node("features.0", ops.Conv2d(padding=(2, 2)), x, weight, bias)
    y = b.node("features.1", ops.Relu(), y)
    y = b.node("features.2", ops.MaxPool2d(kernel_size=(2, 2), stride=(2, 2)), y)
    y = b.node("", ops.Flatten(), y, name="flatten")
    y = b.node("fc", ops.MatMul(transpose_b=True), y, linear)
    return b.finish([y], {})


def lowered() -> Graph:
    """A convolution as im2col and a product with bias and relu folded in."""
    b = ScopedBuilder("lowered")
    x = b.input("x", TensorType((1, 8, 8, 4)))
    weight, bias = b.param("conv.weight", TensorType((6, 9))), b.param("conv.bias", TensorType((6, 1)))
    patches = b.node("conv", ops.Im2col((3, 3)), x, name="conv.patches", made_by="lower_conv")
    product = b.node("conv", ops.MatMul(activation="relu"), weight, patches, bias, name="conv", made_by="lower_conv")
    y = b.node("conv", ops.Reshape((6, 6, 6, 4)), product, name="conv.image", made_by="lower_conv")
    return b.finish([y], {})


def joint() -> Graph:
    """``loss = cross_entropy(relu(x @ w), target)`` with its gradients."""
    b = ScopedBuilder("joint")
    x, target = b.input("x", TensorType((4, 3))), b.input("target", TensorType((4,), "int64"))
    seed = b.input("loss.grad", TensorType(()))
    weight = b.param("fc.weight", TensorType((3, 3)))
    y = b.node("fc", ops.MatMul(), x, weight)
    z = b.node("relu", ops.Relu(), y)
    loss = b.node("", ops.CrossEntropy(), z, target, name="loss")
    made_by = "differentiate"
    dz = b.node("", ops.CrossEntropyGrad(), seed, z, target, name="relu.grad", made_by=made_by)
    dy = b.node("relu", ops.ReluGrad(), dz, z, name="fc.grad", made_by=made_by)
    dw = b.node("fc", ops.MatMul(transpose_a=True), x, dy, name="fc.weight.grad", made_by=made_by)
    dx = b.node("fc", ops.MatMul(transpose_b=True), dy, weight, name="fc.product", made_by="lower_something")
    return b.finish([loss, dw, dx], {})


def stacked(blocks: int = 3) -> Graph:
    """``blocks`` times relu, weighted, relu in ``net.<i>``; the first block runs once more at the end."""
    b = ScopedBuilder("stacked")
    y = b.input("x", TensorType((2, 5)))
    weights = [b.param(f"net.{i}.scale.weight", TensorType((5,))) for i in range(blocks)]
    for i in [*range(blocks), 0]:
        y = b.node(f"net.{i}.a", ops.Relu(), y)
        y = b.node(f"net.{i}.scale", ops.Mul(), y, weights[i])
        y = b.node(f"net.{i}.b", ops.Relu(), y)
    return b.finish([y], {})


HOSTILE = ['a"b', "<b>&amp;", "back\\", "\\N\\G", "line\nbreak", "naïve-名前", "%s", "%1", "\x00", "\x01", "\ud800",
           "graph", "node:port", "-->", "]]>", "{a|b}", "output:0", "cluster_x", "  ", "x" * 300]  # fmt: skip


def hostile() -> Graph:
    """A chain whose names, scopes and pass names are out to break quoting."""
    b = ScopedBuilder('g"<&\\')
    y = b.input("in<put>", TensorType((2, 3)))
    for name in HOSTILE:
        weight = b.param(f"{name}.w", TensorType((2, 3)))
        y = b.node(name, ops.Mul(), y, weight, name=name, made_by=f"pass {name}")
    return b.finish([y, y], {})
