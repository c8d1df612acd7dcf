"""Dropout (Srivastava et al. 2014) with masks that cost nothing on the CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_POOL_SIZE = 2**25  # mask elements
_ALIGNMENT = 64


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero a share of the elements and scale up the rest, so that the expectation stays.

    On the CPU the rate is rounded to a multiple of 1/256, with the scale to match, and a mask is a window of a large
    pool of random ones, at a place drawn anew each time: drawing the Bernoulli numbers of
    torch.nn.functional.dropout took a fifth of a training step.
    """
    if rate == 0.0:
        return x
    if x.is_cuda:
        return F.dropout(x, rate)
    return _PooledDropout.apply(x, rate)


class _PooledDropout(torch.autograd.Function):
    """Keeps only a view of the mask for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        keep, ctx.scale = dropout_mask(x.shape, rate)
        ctx.save_for_backward(keep)
        return torch.ops.aten.native_dropout_backward(x, keep, ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(gradient, keep, ctx.scale), None


def dropout_mask(shape: torch.Size, rate: float) -> tuple[Tensor, float]:
    """Which elements to keep, drawn with PyTorch's default CPU generator, and the factor for those."""
    threshold = round(rate * 256)
    size = shape.numel()
    if size > _POOL_SIZE // 2:
        keep = _random_bytes(size, generator=None) >= threshold
    else:
        start = _ALIGNMENT * int(torch.randint((_POOL_SIZE - size) // _ALIGNMENT, ()))
        keep = _pool(threshold)[start : start + size]
    return keep.view(shape), 256 / (256 - threshold)


@cache
def _pool(threshold: int) -> Tensor:
    """The same in every process and session, so that a resumed run finds the masks that it would have had."""
    return _random_bytes(_POOL_SIZE, generator=torch.Generator().manual_seed(threshold)) >= threshold


def _random_bytes(count: int, *, generator: torch.Generator | None) -> Tensor:
    """Uniform bytes, eight from each draw."""
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[:count]


class Dropout(nn.Module):
    """dropout() while training, the identity otherwise."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate) if self.training else x
