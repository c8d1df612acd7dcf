"""Embeddings, positions, division into heads and their norms, dropout, and the value of masked scores.

Letters: B sentences, L tokens of the longest one, N tokens end to end when packed, D width, H heads, W = D / H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_POOL_SIZE = 2**25  # mask elements
_ALIGNMENT = 64


class Positions(StrEnum):
    """Encoding of token order: added to the embeddings, or, rotary, a rotation of queries and keys.

    fairseq: sinusoids whose frequencies end at 1 / 10,000 exactly, from position 2 on, as in fairseq.
    none: only a model's structure, if anything, tells it the order.
    """

    sinusoidal = "sinusoidal"
    fairseq = "fairseq"
    learned = "learned"
    rotary = "rotary"
    none = "none"


class Embedding(nn.Module):
    """Token embeddings scaled by √D, plus positions; token dropout, then dropout of single elements."""

    positions: Tensor | None

    def __init__(
        self,
        tokens: nn.Embedding,
        *,
        positions: Positions,
        max_positions: int,
        dropout: float,
        token_dropout: float,
    ):
        super().__init__()
        self.tokens = tokens
        self.scale = math.sqrt(tokens.embedding_dim)
        self.token_dropout = token_dropout
        self.dropout = Dropout(dropout)
        sizes = max_positions, tokens.embedding_dim
        # not saved: the table follows from its size
        self.register_buffer("positions", position_table(positions, *sizes), persistent=False)
        if positions is Positions.learned:
            self.positions = nn.Parameter(torch.randn(sizes) / self.scale)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids and positions (B, L) or (N,), int64; returns (B, L, D) or (N, D)."""
        # weights have variance 1 / D (Seq2Seq.init_weights): √D brings it to 1
        x = self.tokens(ids) * self.scale
        # before positions are added: the model still knows where a token is missing
        if self.training and self.token_dropout:
            x = x * (torch.rand(ids.shape, device=ids.device) >= self.token_dropout).unsqueeze(-1)
        return self.dropout(x if self.positions is None else x + F.embedding(positions, self.positions))


def position_table(positions: Positions, length: int, d_model: int) -> Tensor | None:
    """(length, D): the fixed encodings of positions that are added to embeddings; None if there are none."""
    if positions not in (Positions.sinusoidal, Positions.fairseq):
        return None
    if only_shapes():
        return torch.empty(length, d_model)
    return (sinusoids if positions is Positions.sinusoidal else fairseq_sinusoids)(length, d_model)


def only_shapes() -> bool:
    """True on the meta device, where arithmetic has no result, but imports PyTorch's compiler, which takes a second."""
    return torch.get_default_device().type == "meta"


def sinusoids(length: int, d_model: int) -> Tensor:
    """(length, D): sines in the first half and cosines in the second, wavelengths from 2π to 10,000 · 2π.

    Vaswani et al. 2017, section 3.5, with the two interleaved halves side by side.
    """
    table = angles(length, d_model)
    return torch.cat([table.sin(), table.cos()], dim=-1)[:, :d_model]  # an odd width has one sine more


def fairseq_sinusoids(length: int, d_model: int) -> Tensor:
    """(length, D): like sinusoids, but of positions 2, 3, … and frequencies from 1 down to exactly 1 / 10,000.

    fairseq's positions begin after the index of its padding token, which is 1.
    """
    half = d_model // 2
    frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / (half - 1)))
    phases = torch.arange(2, length + 2)[:, None] * frequencies
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


def angles(length: int, width: int) -> Tensor:
    """(length, width / 2, rounded up): position n times frequencies from 1 down to nearly 1 / 10,000."""
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    return torch.arange(length)[:, None] * frequencies


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, D) as (B, H, T, W), and (N, D) as (N, H, W)."""
    heads = x.unflatten(-1, (num_heads, -1))
    return heads.transpose(1, 2) if x.dim() == 3 else heads  # packed: as the kernel reads it


def joined_linear(layers: Sequence[nn.Module], x: Tensor) -> Sequence[Tensor]:
    """Outputs of several linear layers of the same shape for one input; on a GPU computed by one product."""
    groups = grouped_linear(layers, x)
    return groups if len(groups) == len(layers) else groups[0].chunk(len(layers), dim=-1)


def grouped_linear(layers: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """Outputs of several linear layers of the same shape for one input; on a GPU a single, concatenated tensor."""
    if not x.is_cuda or not all(type(layer) is nn.Linear for layer in layers):
        return [layer(x) for layer in layers]
    weights, biases = zip(*[(layer.weight, layer.bias) for layer in layers], strict=True)
    bias = None if biases[0] is None else torch.cat(biases)
    return [F.linear(x, torch.cat(weights), bias)]


def join_heads(heads: Tensor) -> Tensor:
    """(B, H, T, W) as (B, T, D)."""
    return heads.transpose(1, 2).flatten(-2)


class HeadNorm(nn.RMSNorm):
    """RMSNorm of queries or keys, (B, H, T, W) or (N, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        # under autocast the product with fp32 weights would be fp32, which the values are not
        return super().forward(x).type_as(x)


def mask_value(dtype: torch.dtype) -> float:
    """Bias of a masked key: large enough that its weight is 0, small enough that adding a score stays finite.

    Not minus infinity: a query without any visible key would get NaN.
    """
    return max(-1e30, torch.finfo(dtype).min / 2)


class Dropout(nn.Module):
    """Dropout while training (Srivastava et al. 2014), the identity otherwise."""

    zero: Tensor

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape; the result has the same shape."""
        return dropout(x, self.rate) if self.training else x

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + dropout(y): the residual connection of a sublayer; x and y of one shape."""
        # a compiler fuses the plain sum by itself
        joins = self.training and self.rate and x.is_cuda and x.dtype is not y.dtype
        if joins and not torch.compiler.is_compiling():
            return _AddDropped.apply(x, y, self.zero, self.rate)
        return x + self(y)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero a share of the elements and scale up the rest, so that the expectation stays.

    On a CPU the rate is rounded to a multiple of 1/256, with the scale to match, and a mask is a window of a large
    pool of random ones, at a position drawn anew each time: drawing the Bernoulli numbers of
    torch.nn.functional.dropout took a fifth of a training step.
    """
    if rate == 0.0:
        return x
    # a compiler would draw the pool anew for every mask
    if x.is_cuda or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    return pooled_dropout(x, rate)


def pooled_dropout(x: Tensor, rate: float) -> Tensor:
    """Dropout by a mask from the pool; the gradient keeps the mask alone, a view of the pool."""
    mask, scale = dropout_mask(x.shape, rate, x.dtype)
    return x * mask if scale == 1.0 else x * mask * scale


class _AddDropped(torch.autograd.Function):
    """x + dropout(y) of x in fp32 and y in bf16 or fp16, on a GPU, in three kernels.

    The gradient by y is computed in its own type, instead of in fp32 and then converted.

    zero  (), fp32: an addend
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, zero: Tensor, rate: float) -> Tensor:
        kept = torch.empty_like(y, dtype=torch.bool).bernoulli_(1 - rate)
        ctx.save_for_backward(kept, zero)
        ctx.scale, ctx.dtype = 1 / (1 - rate), y.dtype
        # autocast on a GPU would first convert y to fp32 in a kernel of its own
        with torch.autocast(x.device.type, enabled=False):
            return torch.addcmul(x, y, kept, value=ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        kept, zero = ctx.saved_tensors
        of_y = torch.empty_like(gradient, dtype=ctx.dtype)
        torch.addcmul(zero, gradient, kept, value=ctx.scale, out=of_y)
        return gradient, of_y, None, None


def dropout_mask(shape: torch.Size, rate: float, dtype: torch.dtype = torch.float32) -> tuple[Tensor, float]:
    """Mask of the elements to keep, drawn with PyTorch's default CPU generator, and the scale of what is kept.

    In fp32 the elements of a mask from the pool have the scale already, which is 1 then.
    """
    # a random byte below the threshold drops its element
    threshold = round(rate * 256)
    scale = 256 / (256 - threshold)
    size = shape.numel()
    # two windows of more than half the pool would overlap, always in the same part
    if size > _POOL_SIZE // 2:
        return (_random_bytes(size, generator=None) >= threshold).view(shape), scale
    start = _ALIGNMENT * int(torch.randint((_POOL_SIZE - size) // _ALIGNMENT, ()))
    mask = _mask_pool(threshold, dtype)[start : start + size].view(shape)
    return mask, 1.0 if dtype is torch.float32 else scale


@lru_cache(maxsize=4)  # 128 MiB each in fp32; a sweep has other rates in each run
def _mask_pool(threshold: int, dtype: torch.dtype) -> Tensor:
    """Random mask, equal in every process and session, so that a resumed run repeats its masks.

    Of the type that it is multiplied with: multiplying by booleans takes four times as long. Only in fp32 it has the
    scale, which bf16 would round to one that is 0.3 % too small for a rate of 0.1.
    """
    with torch.inference_mode(False):  # a mask made in inference mode could not be kept for a gradient
        kept = _random_bytes(_POOL_SIZE, generator=torch.Generator().manual_seed(threshold)) >= threshold
        mask = kept.to(dtype)
        return mask.mul_(256 / (256 - threshold)) if dtype is torch.float32 else mask


def _random_bytes(count: int, *, generator: torch.Generator | None) -> Tensor:
    """Uniform bytes, eight from each draw."""
    # up to None: the whole range of int64, so that each of the eight bytes is uniform
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[:count]
