"""Attention with bit-for-bit the same result for a sentence in every batch, for models with rounded activations.

In PyTorch's kernels the order of additions depends on the number of keys, and so on the longest sentence in the batch,
and on the cache slots of the hypotheses. The CPU's matrix products add terms in the order of their indices, and masked
keys add exact zeros, as long as no dimension is so small that the library chooses another kernel.

Letters: B sentences, T queries, S keys, H heads, W = D / H.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.layers import mask_value

_MIN_QUERIES = 4  # kernels for one to three rows add in another order
_KEYS_AT_ONCE = 16  # columns of scores per vector instruction; a remainder of fewer is added in another order
_MIN_SCORE = -80.0  # relative to the highest score of the row
_MIN_WEIGHT = 2e-35  # just above exp(_MIN_SCORE)


def attend_batch_invariant(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √W + bias) V: heads (B, H, T, W) of attention to (B, H, S, W) keys."""
    num_queries, num_keys = query.shape[-2], key.shape[-2]
    if missing := max(0, _MIN_QUERIES - num_queries):
        query = F.pad(query, (0, 0, 0, missing))
        bias = F.pad(bias, (0, 0, 0, missing)) if bias.shape[-2] > 1 else bias
    if missing := max(0, _KEYS_AT_ONCE - num_keys):
        key, value = F.pad(key, (0, 0, 0, missing)), F.pad(value, (0, 0, 0, missing))
        bias = F.pad(bias, (0, missing), value=mask_value(bias.dtype))
    scores = _products(query * (1 / math.sqrt(query.shape[-1])), key).add_(bias)
    # exp of a masked score would take ten times as long: clamp it, and set its weight to zero afterwards
    scores = scores.sub_(scores.amax(-1, keepdim=True)).clamp_(min=_MIN_SCORE)
    weights = torch.threshold_(scores.exp_(), _MIN_WEIGHT, 0.0)  # (B, H, T, S), not normalised
    # summed in fp64: the rounding to fp32 removes differences due to the order
    total = weights.sum(-1, keepdim=True, dtype=torch.float64).to(weights.dtype)
    return (weights @ value / total)[..., :num_queries, :]


def _products(query: Tensor, key: Tensor) -> Tensor:
    """Q Kᵀ, with the number of keys padded to a multiple of 16."""
    whole = key.shape[-2] // _KEYS_AT_ONCE * _KEYS_AT_ONCE
    products = query @ key[..., :whole, :].transpose(-1, -2)
    if not (rest := key.shape[-2] - whole):
        return products
    padded = F.pad(key[..., whole:, :], (0, 0, 0, _KEYS_AT_ONCE - rest))
    return torch.cat([products, (query @ padded.transpose(-1, -2))[..., :rest]], dim=-1)
