"""Attention whose result for a sentence does not depend on its batch, bit for bit, for models with rounded activations.

PyTorch's kernels add in an order that depends on the number of keys, which is that of the longest sentence in the
batch, or on the slots that hypotheses have in a cache. Matrix products of the CPU library add terms in the order of
their indices, and masked keys add exact zeros, as long as no dimension is so small that another kernel is chosen.

Letters: B sentences, T queries, S keys, H heads, W = D / H.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.layers import mask_value

_QUERIES = 4  # at least: kernels for one to three rows add in another order
_KEYS = 16  # columns of scores that one vector instruction computes; a rest of fewer has another order
_LEAST_SCORE = -80.0  # below the highest
_LEAST_WEIGHT = 2e-35  # just above its exponential


def attend_batch_invariant(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √W + bias) V: heads (B, H, T, W) of attention to (B, H, S, W) keys."""
    num_queries, num_keys = query.shape[-2], key.shape[-2]
    if missing := max(0, _QUERIES - num_queries):
        query = F.pad(query, (0, 0, 0, missing))
        bias = F.pad(bias, (0, 0, 0, missing)) if bias.shape[-2] > 1 else bias
    if missing := max(0, _KEYS - num_keys):
        key, value = F.pad(key, (0, 0, 0, missing)), F.pad(value, (0, 0, 0, missing))
        bias = F.pad(bias, (0, missing), value=mask_value(bias.dtype))
    scores = _products(query * (1 / math.sqrt(query.shape[-1])), key).add_(bias)
    # the exponential of a mask would take ten times as long: clamp, and set to zero afterwards
    scores = scores.sub_(scores.amax(-1, keepdim=True)).clamp_(min=_LEAST_SCORE)
    weights = torch.threshold_(scores.exp_(), _LEAST_WEIGHT, 0.0)  # (B, H, T, S), not normalised
    # in fp64 the order of a sum is lost in the rounding to fp32
    total = weights.sum(-1, keepdim=True, dtype=torch.float64).to(weights.dtype)
    return (weights @ value / total)[..., :num_queries, :]


def _products(query: Tensor, key: Tensor) -> Tensor:
    """Q Kᵀ, with the keys beyond a multiple of 16 padded to one."""
    whole = key.shape[-2] // _KEYS * _KEYS
    products = query @ key[..., :whole, :].transpose(-1, -2)
    if not (rest := key.shape[-2] - whole):
        return products
    padded = F.pad(key[..., whole:, :], (0, 0, 0, _KEYS - rest))
    return torch.cat([products, (query @ padded.transpose(-1, -2))[..., :rest]], dim=-1)
