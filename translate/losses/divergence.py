"""The Kullback-Leibler divergence between what two passes predict, without ever keeping all logits.

With p = softmax(W h), q = softmax(W g) and KL = Σ p (log p - log q), the gradient by q's logits is q - p, that by p's
logits p (log p - log q - KL).

Letters: T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.batch import NO_TARGET
from translate.losses.cross_entropy import ROWS_AT_ONCE


def kullback_leibler(first: Tensor, second: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The sum of KL(p ‖ q), in nats, over all real labels; gradients go both ways.

    first, second (..., D), weight (V, D), labels (...) with NO_TARGET where there is no token.
    """
    real = (labels != NO_TARGET).flatten().unsqueeze(-1)
    first, second = first.flatten(0, -2), second.flatten(0, -2)
    if torch.is_autocast_enabled(first.device.type):
        dtype = torch.get_autocast_dtype(first.device.type)
        first, second, weight = first.to(dtype), second.to(dtype), weight.to(dtype)
    with torch.autocast(first.device.type, enabled=False):
        result: Tensor = _Chunked.apply(first, second, weight, real)
    return result


class _Chunked(torch.autograd.Function):
    """Some rows of logits at a time, their gradients worked out in the forward pass."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, weight: Tensor, real: Tensor) -> Tensor:
        first_gradient, second_gradient = torch.empty_like(first), torch.empty_like(second)
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        total = torch.zeros((), dtype=torch.float32, device=weight.device)
        for start in range(0, len(first), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            log_p, log_q = (F.linear(x[piece], weight).log_softmax(-1, dtype=torch.float32) for x in (first, second))
            p, q, counted = log_p.exp(), log_q.exp(), real[piece].to(weight.dtype)
            distance = log_p.sub_(log_q)  # in place from here on: passes over (T, V) are what takes the time
            divergence = torch.linalg.vecdot(p, distance).unsqueeze(-1)
            total += (divergence * counted).sum()
            for_q = q.sub_(p).to(weight.dtype)
            for_p = distance.sub_(divergence).mul_(p).to(weight.dtype)
            first_gradient[piece], second_gradient[piece] = for_p @ weight * counted, for_q @ weight * counted
            weight_gradient += for_p.T @ (first[piece] * counted) + for_q.T @ (second[piece] * counted)
        ctx.save_for_backward(first_gradient, second_gradient, weight_gradient.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        first, second, weight = (x * scale.to(x.dtype) for x in ctx.saved_tensors)
        return first, second, weight, None
