"""Linear maps with weights in half precision, for decoding on a CPU.

A step of a search multiplies few rows by all weights of the model: reading those is what takes the time, and the
library of matrix products would also bring fp32 weights into its own order in every step. Half of the bytes, ordered
once, are read three times as fast. All arithmetic is fp32; a weight is off by at most one part in 2,048.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class HalfLinear(nn.Module):
    """An nn.Linear with its weights rounded to half precision; without gradients, and not to be saved."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(linear.weight.detach(), linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return product


def has_half_weights() -> bool:
    """Whether PyTorch can multiply by them on this processor: with FBGEMM, which needs x86 with AVX2."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def with_half_weights(module: Module) -> Module:
    """A twin of a module, with every nn.Linear in half precision; it shares all else with the original."""
    twin = copy.copy(module)
    twin._modules = {name: child and _converted(child) for name, child in module._modules.items()}
    return twin


def _converted(module: nn.Module) -> nn.Module:
    return HalfLinear(module) if type(module) is nn.Linear else with_half_weights(module)
