"""Published networks, built by hand for the tests of costs: a builder that keeps the current value."""

from __future__ import annotations

from dataclasses import replace

from convir.ir import Builder, Graph, Op, TensorType, Value
from convir.ir.ops import Conv2d, Flatten, MatMul, MaxPool2d, Relu


class Net:
    """Layers one after another; a scope used twice shares its parameters."""

    def __init__(self, name: str, *shape: int) -> None:
        self.builder = Builder(name)
        self.x = self.builder.input("x", TensorType(shape))
        self.params: dict[str, Value] = {}

    def op(self, op: Op, *others: Value, scope: str = "", name: str = "") -> Value:
        self.builder.provenance = replace(self.builder.provenance, scope=scope)
        self.x = self.builder.emit(op, self.x, *others, name=name)
        return self.x

    def param(self, name: str, *shape: int) -> Value:
        if name not in self.params:
            self.params[name] = self.builder.param(name, TensorType(shape))
        return self.params[name]

    def conv(self, scope: str, filters: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1) -> Value:
        weight = self.param(f"{scope}.weight", filters, self.x.type.shape[1] // groups, kernel, kernel)
        op = Conv2d((stride, stride), (padding, padding), groups=groups)
        return self.op(op, weight, self.param(f"{scope}.bias", filters), scope=scope, name=scope.replace(".", "_"))

    def linear(self, scope: str, features: int) -> Value:
        weight = self.param(f"{scope}.weight", features, self.x.type.shape[-1])
        bias = self.param(f"{scope}.bias", features)
        return self.op(MatMul(transpose_b=True), weight, bias, scope=scope, name=scope.replace(".", "_"))

    def relu(self, scope: str = "") -> Value:
        return self.op(Relu(), scope=scope)

    def pool(self, size: int, stride: int, scope: str = "") -> Value:
        return self.op(MaxPool2d((stride, stride), kernel_size=(size, size)), scope=scope)

    def flatten(self) -> Value:
        return self.op(Flatten())

    def done(self) -> Graph:
        return self.builder.finish([self.x], {})


def lenet5(batch: int = 64) -> Graph:
    """LeNet-5 for 28x28 images, padding 2 in the first convolution (LeCun et al., 1998, with max pooling)."""
    net = Net("lenet5", batch, 1, 28, 28)
    for scope, filters, padding in (("conv1", 6, 2), ("conv2", 16, 0)):
        net.conv(scope, filters, 5, padding=padding)
        net.relu()
        net.pool(2, 2)
    net.flatten()
    for scope, features in (("fc1", 120), ("fc2", 84)):
        net.linear(scope, features)
        net.relu()
    net.linear("fc3", 10)
    return net.done()


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg16(batch: int = 1) -> Graph:
    """VGG-16, configuration D (Simonyan and Zisserman, 2015), with torchvision's module names."""
    net = Net("vgg16", batch, 3, 224, 224)
    place = 0
    for layer in VGG16:
        if isinstance(layer, str):
            net.pool(2, 2, f"features.{place}")
            place += 1
            continue
        net.conv(f"features.{place}", layer, 3, padding=1)
        net.relu(f"features.{place + 1}")
        place += 2
    net.flatten()
    for place, features in ((0, 4096), (3, 4096)):
        net.linear(f"classifier.{place}", features)
        net.relu(f"classifier.{place + 1}")
    net.linear("classifier.6", 1000)
    return net.done()


def alexnet(batch: int = 1) -> Graph:
    """AlexNet as in torchvision (Krizhevsky, "One weird trick", 2014)."""
    net = Net("alexnet", batch, 3, 224, 224)
    pooled_after = ("features.0", "features.3", "features.10")
    for place, filters, kernel, stride, padding in (
        (0, 64, 11, 4, 2),
        (3, 192, 5, 1, 2),
        (6, 384, 3, 1, 1),
        (8, 256, 3, 1, 1),
        (10, 256, 3, 1, 1),
    ):
        net.conv(f"features.{place}", filters, kernel, stride, padding)
        net.relu(f"features.{place + 1}")
        if f"features.{place}" in pooled_after:
            net.pool(3, 2, f"features.{place + 2}")
    net.flatten()
    for place, features in ((1, 4096), (4, 4096), (6, 1000)):
        net.linear(f"classifier.{place}", features)
        if place != 6:
            net.relu(f"classifier.{place + 1}")
    return net.done()
