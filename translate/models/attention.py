"""Scaled dot-product attention with several heads, over padded or packed sentences (Vaswani et al. 2017).

The only place that asks how a batch is laid out. Three kernels give the same result:

    explicit   matrix products and a softmax: the CPU (faster than the fused kernel there), and whenever
               attention weights are wanted
    fused      PyTorch's scaled_dot_product_attention: padded batches on a GPU
    packed     PyTorch's variable-length flash attention: sentences end to end, on a GPU

Letters: B sentences, T queries, S keys, H heads, K = D / H; N tokens end to end when packed.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Tokens
from translate.models.dropout import dropout

HIDDEN = -1e30  # fits bfloat16, and leaves room to add a score


@dataclass(frozen=True, eq=False)
class Visibility:
    """Which keys each query may attend to, worked out once per pass and used by every layer.

    bias           (B, 1, 1 or T, S), to be added to the scores: 0 where visible, a large negative number
                   elsewhere (not minus infinity: a row with nothing visible must not become NaN)
    query_offsets, key_offsets   of the packed sentences, as in Tokens; bias is None then
    """

    causal: bool
    bias: Tensor | None = None
    query_offsets: Tensor | None = None
    key_offsets: Tensor | None = None
    max_queries: int = 0
    max_keys: int = 0


def visibility(queries: Tokens, keys: Tokens, *, causal: bool) -> Visibility:
    """Real tokens of the same sentence, and with causal=True only those up to the query's own place."""
    if queries.is_packed:
        return Visibility(
            causal,
            query_offsets=queries.offsets,
            key_offsets=keys.offsets,
            max_queries=queries.max_length,
            max_keys=keys.max_length,
        )
    assert keys.mask is not None
    visible = keys.mask[:, None, None, :]
    if causal:
        length = keys.mask.shape[1]
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    return Visibility(causal, bias=torch.where(visible, 0.0, HIDDEN).to(_score_dtype(visible.device)))


def _score_dtype(device: torch.device) -> torch.dtype:
    """What autocast makes of the scores: a bias of a wider type would widen them again."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


def attend_explicitly(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, dropout_rate: float
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √K + bias) V for (B, H, T, K) queries and (B, H, S, K) keys; also the weights (B, H, T, S)."""
    scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1)
    return dropout(weights, dropout_rate) @ value, weights


def attend_fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, dropout_rate: float) -> Tensor:
    """The same, by PyTorch's fused kernels."""
    mask = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_rate)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, visible: Visibility) -> Tensor:
    """The same for sentences end to end: (N, H, K) queries, keys and values, bfloat16 or float16, on a GPU.

    PyTorch's kernel has no dropout of attention weights: models that want it are given padded batches.
    """
    from torch.nn.attention.varlen import varlen_attn

    assert visible.query_offsets is not None
    result = varlen_attn(
        query,
        key,
        value,
        visible.query_offsets,
        visible.key_offsets,
        visible.max_queries,
        visible.max_keys,
        **_causal_argument(visible.causal),
    )
    assert isinstance(result, Tensor)
    return result


@cache
def _causal_argument(causal: bool) -> dict[str, Any]:
    """Causal attention is a window in newer releases of PyTorch and a flag in older ones."""
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" in inspect.signature(varlen_attn).parameters:
        return {"window_size": (-1, 0) if causal else (-1, -1)}
    return {"is_causal": causal}


def attend_packed_reference(query: Tensor, key: Tensor, value: Tensor, visible: Visibility) -> Tensor:
    """What attend_packed must equal, one sentence after the other: for tests and for devices without the kernel."""
    assert visible.query_offsets is not None
    assert visible.key_offsets is not None
    queries, keys = visible.query_offsets.tolist(), visible.key_offsets.tolist()
    pieces = []
    for (q0, q1), (k0, k1) in zip(pairwise(queries), pairwise(keys), strict=True):
        q, k, v = (x.transpose(0, 1) for x in (query[q0:q1], key[k0:k1], value[k0:k1]))
        if q1 > q0:
            pieces.append(F.scaled_dot_product_attention(q, k, v, is_causal=visible.causal).transpose(0, 1))
    return torch.cat(pieces)


class MultiHeadAttention(nn.Module):
    """Attention of queries over keys and values, each seen through num_heads learned projections."""

    def __init__(self, *, d_model: int, num_heads: int, dropout_rate: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(
        self, x: Tensor, memory: Tensor, visible: Visibility, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) attends to memory (B, S, D), or (N, D) both; the result is like x."""
        query = self._split(self.query(x))
        key, value = (self._split(y) for y in self.key_value(memory).chunk(2, dim=-1))
        rate = self.dropout_rate if self.training else 0.0
        weights = None
        if visible.query_offsets is not None:
            kernel = attend_packed if query.is_cuda else attend_packed_reference
            return self.output(kernel(query, key, value, visible).flatten(-2)), None
        if return_weights or not query.is_cuda:
            heads, weights = attend_explicitly(query, key, value, visible.bias, dropout_rate=rate)
        else:
            heads = attend_fused(query, key, value, visible.bias, dropout_rate=rate)
        return self.output(heads.transpose(1, 2).flatten(-2)), weights if return_weights else None

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, K) of memory (B, S, D), to be kept while hypotheses grow."""
        key, value = (self._split(y) for y in self.key_value(memory).chunk(2, dim=-1))
        return key, value

    def attend(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, T, D) attends to kept keys and values (B, H, S, K); also the weights (B, H, T, S)."""
        heads, weights = attend_explicitly(self._split(self.query(x)), key, value, bias, dropout_rate=0.0)
        return self.output(heads.transpose(1, 2).flatten(-2)), weights

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) as (B, H, T, K), and (N, D) as (N, H, K)."""
        heads = x.unflatten(-1, (self.num_heads, -1))
        return heads.transpose(1, 2) if x.dim() == 3 else heads
