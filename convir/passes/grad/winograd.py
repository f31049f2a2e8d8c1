"""Winograd's transforms have no gradient rules: the model is differentiated before it is lowered."""

from convir.ir.ops import WinogradInput, WinogradOutput, WinogradOutputGrad, WinogradWeight, WinogradWeightGrad
from convir.passes.grad.registry import not_differentiable

not_differentiable(
    "differentiate the model before convolutions are lowered",
    *(WinogradInput, WinogradOutput, WinogradOutputGrad, WinogradWeight, WinogradWeightGrad),
)
