"""Fourier transforms have no gradient rules: the model is differentiated before it is lowered."""

from convir.ir.ops import ComplexMatMul, Dft2d, Idft2d
from convir.passes.grad.registry import not_differentiable

not_differentiable("differentiate the model before convolutions are lowered", Dft2d, Idft2d, ComplexMatMul)
