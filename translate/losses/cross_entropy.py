"""Label-smoothed cross entropy and Kullback-Leibler divergence that never keep the logits of a whole batch.

Smoothing is PyTorch's (Szegedy et al. 2016): 1 - ε of the mass on the label y and ε spread evenly over all V tokens.
With logits s = W h and z = log Σ exp s it can be split off the plain loss,

    (1 - ε) (z - s_y) + ε (z - mean s)  =  (z - s_y) + ε (s_y - mean s),

and its gradient by the logits is softmax(s) - (1 - ε) one-hot(y) - ε / V.

Of the divergence KL = Σ p (log p - log q) the gradient by q's logits is q - p, that by p's logits
p (log p - log q - KL).

Letters: T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.batch import NO_TARGET

ROWS_AT_ONCE = 1024  # rows of logits that exist at one time, on a CPU
_ROWS_ON_GPU, _LOGITS_ON_GPU = 8192, 2**28  # there a piece costs thirty launches, whatever its size


def label_smoothed_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float, shares: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sums of the label-smoothed and of the plain cross entropy, in nats, over all real labels.

    hidden (..., D), weight (V, D), labels (...) with NO_TARGET where there is no token. The plain one has no gradient.
    shares (...) are factors of the tokens' losses; None: all 1.
    PyTorch's own operation, linear_cross_entropy from 2.13 on, is not used: it takes 64 rows at a time, a thousand
    launches an update on a GPU, and knows no smoothing there; on a CPU it is slower, and returns bfloat16 sums.
    """
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    # padding counts for nothing, whatever its share
    shares = (labels != NO_TARGET).float() if shares is None else shares.flatten() * (labels != NO_TARGET)
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    # the types are chosen: autocast would round the fp32 sums below
    with torch.autocast(hidden.device.type, enabled=False):
        loss, plain = _ChunkedCrossEntropy.apply(hidden, weight, labels, shares, smoothing)
        return loss, plain


def _pieces(hidden: Tensor, weight: Tensor) -> Iterator[slice]:
    """Rows of hidden (T, D) whose logits, with weight (V, D), exist at one time."""
    rows = min(_ROWS_ON_GPU, max(1, _LOGITS_ON_GPU // len(weight))) if hidden.is_cuda else ROWS_AT_ONCE
    return (slice(start, start + rows) for start in range(0, len(hidden), rows))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross entropy of some rows of logits at a time, whose gradients are computed in the forward pass.

    Logits and probabilities have the type of the products: nothing as large is ever converted, except from fp16, where
    a probability below 6e-8 would be zero. Numbers of which each row has one (the probability of a label, its distance
    to one) are fp32.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, shares: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        shares, labels = shares.unsqueeze(-1), labels.clamp(min=0).unsqueeze(-1)
        # mean s = h · mean w: smoothing needs no pass over the logits
        mean_weight = weight.float().mean(0)
        hidden_gradient = torch.empty_like(hidden)  # each row is written once
        # fp32: every piece adds to it
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        hidden_sum = torch.zeros(hidden.shape[1], dtype=torch.float32, device=hidden.device)
        sums = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        for piece in _pieces(hidden, weight):
            rows, label, share = hidden[piece], labels[piece], shares[piece].to(hidden.dtype)
            logits = F.linear(rows, weight)
            probabilities = logits.softmax(-1, dtype=torch.float32 if logits.dtype is torch.float16 else None)
            of_label = probabilities.gather(1, label).float()
            logit = logits.gather(1, label).float()
            # the softmax is needed for the gradient: its logarithm saves a pass of log_softmax
            plain = -of_label.log()
            underflow = of_label < torch.finfo(torch.float32).tiny  # -log p = z - s_y, z by the likeliest token
            if underflow.is_cuda or underflow.is_meta or underflow.any():  # reading it would wait for the GPU
                highest, index = logits.max(-1, keepdim=True)
                log_sum = highest.float() - probabilities.gather(1, index).float().log()
                plain = torch.where(underflow, log_sum - logit, plain)
            margin = logit - rows.float() @ mean_weight.unsqueeze(-1)
            sums += (torch.cat([plain + smoothing * margin, plain], dim=1) * shares[piece]).sum(0)
            # the constant -ε / V of the gradient by the logits is added after the loop, to all rows at once
            gradient = probabilities.scatter_(1, label, (of_label - (1 - smoothing)).to(probabilities.dtype))
            gradient = gradient.to(weight.dtype)
            hidden_gradient[piece] = (gradient @ weight - smoothing * mean_weight) * share
            counted = rows * share
            weight_gradient += gradient.T @ counted
            hidden_sum += counted.sum(0, dtype=torch.float32)
        weight_gradient -= smoothing / len(weight) * hidden_sum
        ctx.save_for_backward(hidden_gradient, weight_gradient.to(weight.dtype))
        loss, plain = sums.unbind()
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors  # known but for the factor of the loss
        return (
            hidden_gradient * scale.to(hidden_gradient.dtype),
            weight_gradient * scale.to(weight_gradient.dtype),
            None,
            None,
            None,
        )


def kl_divergence(first: Tensor, second: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Sum of KL(p ‖ q), in nats, over all real labels, p = softmax(W h), q = softmax(W g); gradients go both ways.

    first h and second g (..., D), weight W (V, D), labels (...) with NO_TARGET where there is no token.
    """
    real = (labels != NO_TARGET).flatten().unsqueeze(-1)
    first, second = first.flatten(0, -2), second.flatten(0, -2)
    if torch.is_autocast_enabled(first.device.type):
        dtype = torch.get_autocast_dtype(first.device.type)
        first, second, weight = first.to(dtype), second.to(dtype), weight.to(dtype)
    with torch.autocast(first.device.type, enabled=False):
        result: Tensor = _ChunkedDivergence.apply(first, second, weight, real)
    return result


class _ChunkedDivergence(torch.autograd.Function):
    """Divergence of some rows of logits at a time, whose gradients are computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, weight: Tensor, real: Tensor) -> Tensor:
        first_gradient, second_gradient = torch.empty_like(first), torch.empty_like(second)
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        total = torch.zeros((), dtype=torch.float32, device=weight.device)
        for rows in _pieces(first, weight):
            log_p, log_q = (F.linear(x[rows], weight).log_softmax(-1, dtype=torch.float32) for x in (first, second))
            p, q, counted = log_p.exp(), log_q.exp(), real[rows].to(weight.dtype)
            distance = log_p.sub_(log_q)  # in place from here on: passes over (T, V) dominate the time
            divergence = torch.linalg.vecdot(p, distance).unsqueeze(-1)
            total += (divergence * counted).sum()
            # gradients by the logits, as derived at the top
            for_q = q.sub_(p).to(weight.dtype)
            for_p = distance.sub_(divergence).mul_(p).to(weight.dtype)
            first_gradient[rows], second_gradient[rows] = for_p @ weight * counted, for_q @ weight * counted
            weight_gradient += for_p.T @ (first[rows] * counted) + for_q.T @ (second[rows] * counted)
        ctx.save_for_backward(first_gradient, second_gradient, weight_gradient.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        first, second, weight = (x * scale.to(x.dtype) for x in ctx.saved_tensors)
        return first, second, weight, None
