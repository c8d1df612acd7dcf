"""Linear layers with fp16 or int8 weights for decoding on a CPU, and copies of models with such layers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from translate.device import Precision
from translate.models.attention import MultiHeadAttention

AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}  # autocast's dtype; off in other precisions
Module = TypeVar("Module", bound=nn.Module)
_LARGEST = 127  # integers are from -127 to 127
_ZERO_POINT = 128  # of activations: the kernel multiplies unsigned ones


class HalfLinear(nn.Module):
    """An nn.Linear with its weights rounded to fp16, for decoding on a CPU; without gradients, and not to be saved.

    A decoding step multiplies few rows by all weights of the model, so that reading the weights takes most of the time;
    with fp32 weights the matrix library would also reorder them in every step. fp16 weights have half the size, are
    reordered once, and are read three times as fast. All arithmetic is fp32; the relative error of a weight is at most
    1 / 2,048.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        has_deprecated = hasattr(torch, "fbgemm_linear_fp16_weight_fp32_activation")
        pack = pack_fp16_deprecated if has_deprecated else pack_fp16
        self.multiply = pack(linear.weight.detach(), None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x)


def pack_fp16_deprecated(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The function x -> x Wᵀ + b with packed fp16 weights, for any number of leading dimensions.

    Uses functions that are deprecated since PyTorch 1.12. Their successors take five times as long for a few rows: they
    spend 25 µs on method lookups of the packed weights.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"fbgemm_\w+ is deprecated")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        multiply = partial(torch.fbgemm_linear_fp16_weight_fp32_activation, packed_weight=packed, bias=bias)
        multiply(weight.new_zeros(1, weight.shape[1]))  # PyTorch warns once: now
    return multiply


def pack_fp16(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Like pack_fp16_deprecated, for versions of PyTorch without the deprecated functions."""
    packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)


class Int8Linear(nn.Module):
    """An nn.Linear in 8-bit integers, for decoding on a CPU; without gradients, and not to be saved.

    Vector-wise quantisation (Dettmers et al. 2022, section 2.2): W ≈ s Q with a scale s for each output channel, and
    x ≈ m / 127 · P with m = max |x| for each row, so that x Wᵀ ≈ m / 127 · s · P Qᵀ with integers P and Q. Sums of
    integers do not depend on their order: a row has the same result in every batch.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.multiply = pack_int8(*quantise_rows(linear.weight.detach()))
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """x (…, D), fp32; returns (…, O)."""
        largest = x.abs().amax(dim=-1, keepdim=True)
        # a row of zeros: 0 / 0 becomes arbitrary integers, which `largest` makes zeros again; a NaN in x stays NaN
        y = self.multiply(x / largest)
        y *= largest
        # not fused with the product above: whether a fused kernel rounds once would depend on the position in the batch
        return y if self.bias is None else y.add_(self.bias)


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers from -127 to 127 in the shape (O, D) of the weight, and the scale of each row, (O,)."""
    # a row of zeros may have any scale except zero
    scales = (weight.abs().amax(dim=1) / _LARGEST).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / scales[:, None]).round().to(torch.int8), scales


def pack_int8(integers: Tensor, scales: Tensor) -> Callable[[Tensor], Tensor]:
    """The function x -> round(127 x) Qᵀ · s / 127 for x (…, D) between -1 and 1; only the scaling by s (O,) rounds.

    FBGEMM's product rounds the activations in the same pass. It takes packed weights of a quantised dtype, deprecated
    in PyTorch 2.13; oneDNN's successor needs activations that are already rounded.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor")
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        weight = torch._make_per_channel_quantized_tensor(integers, scales, zeros, 0)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    return lambda x: operator(x, 1 / _LARGEST, _ZERO_POINT, packed)


def with_half_weights(model: Module) -> Module:
    """Copy a module with fp16 weights in every nn.Linear; everything else is shared with the original."""
    return _converted(model, HalfLinear)


def with_int8_weights(model: Module) -> Module:
    """Copy a module with an Int8Linear for every nn.Linear, and batch-invariant attention.

    Otherwise rounding of activations could turn a difference in the last digit into one of a whole integer.
    """
    converted = _converted(model, Int8Linear)
    for module in converted.modules():
        if isinstance(module, MultiHeadAttention):
            module.batch_invariant = True
    return converted


def with_cast_weights(model: Module, dtype: torch.dtype) -> Module:
    """Copy a module with the weights of every nn.Linear in bf16 or fp16, for decoding under autocast.

    In inference mode autocast does not cache its casts: it would repeat them in every step.
    """
    return _converted(model, lambda linear: _cast(linear, dtype))


def _cast(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    copied = copy.copy(linear)
    copied._parameters = {
        name: None if weight is None else nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        for name, weight in linear._parameters.items()
    }
    return copied


def _converted(module: Module, kind: Callable[[nn.Linear], nn.Module]) -> Module:
    copied = copy.copy(module)
    # a shallow copy shares the dictionary of children: it gets one of its own
    copied._modules = {name: child and _convert(child, kind) for name, child in module._modules.items()}
    return copied


def _convert(module: nn.Module, kind: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    # not isinstance: a subclass may compute something else
    return kind(module) if type(module) is nn.Linear else _converted(module, kind)
