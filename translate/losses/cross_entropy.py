"""Label-smoothed cross entropy that never keeps the logits of a whole batch.

Letters: T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from translate.batch import NO_TARGET

ROWS_AT_ONCE = 1024  # rows of logits that exist at one time


def label_smoothed_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Sums of the label-smoothed and of the plain cross entropy, in nats, over all real labels.

    hidden (..., D), weight (V, D), labels (...) with NO_TARGET where there is no token. Smoothing is
    PyTorch's (Szegedy et al. 2016): 1 - ε of the mass on the label and ε spread evenly over all V tokens:

        (1 - ε) (z - s_y) + ε (z - mean s)  =  (z - s_y) + ε (s_y - mean s),    s = W h,  z = log Σ exp s

    The second form needs the logits for the plain loss alone: s_y - mean s is one dot product, h · (w_y - mean w).
    """
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    plain = cross_entropy(hidden, weight, labels)
    if smoothing == 0.0:
        return plain, plain.detach()
    real = labels != NO_TARGET
    direction = F.embedding(labels.clamp(min=0), weight) - weight.mean(0)
    margin = (hidden.float() * direction).sum(-1)
    return plain + smoothing * (margin * real).sum(), plain.detach()


def cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Sum over real labels of -log softmax(W h)[label]: hidden (T, D), weight (V, D), labels (T,).

    PyTorch's own fused operation on a GPU, from 2.13 on; elsewhere ours. (On the CPU PyTorch's is slower, and
    returns bfloat16 sums.)
    """
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        if hidden.is_cuda and hasattr(F, "linear_cross_entropy"):
            options = torch.nn.LinearCrossEntropyOptions()
            losses = F.linear_cross_entropy(
                hidden, weight, labels, reduction="none", ignore_index=NO_TARGET, options=options
            )
            return losses.float().sum()
        return _ChunkedCrossEntropy.apply(hidden, weight, labels)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Some rows of logits at a time, their gradients worked out in the forward pass: softmax - one-hot."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            log_probabilities = F.linear(hidden[piece], weight).log_softmax(-1, dtype=torch.float32)
            real = (labels[piece] != NO_TARGET).unsqueeze(-1)
            label = labels[piece].clamp(min=0).unsqueeze(-1)
            total -= (log_probabilities.gather(1, label) * real).sum()
            gradient = log_probabilities.exp_().scatter_add_(1, label, -real.float()).mul_(real)
            gradient = gradient.to(hidden.dtype)
            hidden_gradient[piece] = gradient @ weight
            weight_gradient += gradient.T @ hidden[piece]
        ctx.save_for_backward(hidden_gradient, weight_gradient.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return (
            hidden_gradient * scale.to(hidden_gradient.dtype),
            weight_gradient * scale.to(weight_gradient.dtype),
            None,
        )
