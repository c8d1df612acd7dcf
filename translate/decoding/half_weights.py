"""Linear layers with fp16 weights, for decoding on a CPU.

A step of a search multiplies few rows by all weights of the model, so that reading the weights dominates the time;
with fp32 weights the matrix library would also reorder them in every step. Half of the bytes, reordered once, are read
three times as fast. All arithmetic is fp32; the relative error of a weight is at most 1 / 2,048.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class HalfLinear(nn.Module):
    """An nn.Linear with its weights rounded to fp16; without gradients, and not to be saved."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        pack = packed_directly if hasattr(torch, "fbgemm_linear_fp16_weight_fp32_activation") else packed_as_object
        self.multiply = pack(linear.weight.detach(), None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x)


def packed_directly(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x -> x Wᵀ + b, for any number of leading dimensions.

    Deprecated since PyTorch 1.12, these functions are five times as fast for a few rows as their successors, which
    spend 25 µs on looking up methods of the packed weights.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"fbgemm_\w+ is deprecated")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        multiply = partial(torch.fbgemm_linear_fp16_weight_fp32_activation, packed_weight=packed, bias=bias)
        multiply(weight.new_zeros(1, weight.shape[1]))  # PyTorch warns once: now
    return multiply


def packed_as_object(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Like the function above, for versions of PyTorch without those operators."""
    packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)


def with_half_weights(module: Module) -> Module:
    """Copy a module with fp16 weights in every nn.Linear; everything else is shared with the original."""
    converted = copy.copy(module)
    # a shallow copy shares the dictionary of children: it gets one of its own
    converted._modules = {name: _convert(child) for name, child in module._modules.items()}
    return converted


def _convert(module: nn.Module | None) -> nn.Module | None:
    if module is None:
        return None
    return HalfLinear(module) if type(module) is nn.Linear else with_half_weights(module)
