"""Kernels of scaled dot-product attention (Vaswani et al. 2017), which give the same result.

    explicit   matrix products and a softmax, as the formula says: the reference, and whenever weights are wanted
    by hand    the same with its gradient written out: training on a CPU
    fused      PyTorch's scaled_dot_product_attention: padded batches on a GPU
    packed     PyTorch's variable-length flash attention: sentences end to end, on a GPU

Letters: B sentences, T queries, S keys, H heads, W = D / H; N tokens end to end when packed.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.dropout import dropout, dropout_mask
from translate.models.visibility import Visibility


def attend_explicitly(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, dropout_rate: float
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √W + bias) V for (B, H, T, W) queries and (B, H, S, W) keys; also the weights (B, H, T, S)."""
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
    """The same for sentences end to end: (N, H, W) queries, keys and values, bfloat16 or float16, on a GPU.

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


def attend_by_hand(
    query: Tensor, key_value: Tensor, bias: Tensor | None, *, num_heads: int, dropout_rate: float
) -> Tensor:
    """attend_explicitly for queries (B, T, D) and keys and values (B, S, 2 D) as projected; the result is (B, T, D).

    Autograd would copy each of queries, keys, values and their gradients between layouts several times, which
    on a CPU takes longer than the products; here each is copied once.
    """
    return _ByHand.apply(query, key_value, bias, num_heads, dropout_rate)


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, bias: Tensor | None, num_heads: int, dropout_rate: float
    ) -> Tensor:
        q, (k, v) = _by_head(query, 1, num_heads)[0], _by_head(key_value, 2, num_heads)
        ctx.scale = 1 / math.sqrt(q.shape[-1])
        scores = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)).unflatten(0, q.shape[:2])
        scores = scores.mul_(ctx.scale) if bias is None else torch.add(bias, scores, alpha=ctx.scale)
        weights = scores.softmax(-1)
        keep, ctx.keep_scale = dropout_mask(weights.shape, dropout_rate) if dropout_rate else (None, 1.0)
        dropped = _drop(weights, keep, ctx.keep_scale)
        ctx.save_for_backward(q, k, v, weights, dropped, keep)
        return _from_heads(torch.bmm(dropped.flatten(0, 1), v.flatten(0, 1)).unflatten(0, q.shape[:2])[None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        q, k, v, weights, dropped, keep = ctx.saved_tensors
        batch_heads = q.shape[:2]
        [gradient] = _by_head(gradient, 1, batch_heads[1])
        g, q, k_, v = (x.flatten(0, 1) for x in (gradient, q, k, v))
        for_weights = _drop(torch.bmm(g, v.transpose(1, 2)).unflatten(0, batch_heads), keep, ctx.keep_scale)
        for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype)
        for_scores = for_scores.mul_(ctx.scale).flatten(0, 1)
        for_query = torch.bmm(for_scores, k_).unflatten(0, batch_heads)
        for_key_value = k.new_empty((2, *k.shape))
        torch.bmm(for_scores.transpose(1, 2), q, out=for_key_value[0].flatten(0, 1))
        torch.bmm(dropped.flatten(0, 1).transpose(1, 2), g, out=for_key_value[1].flatten(0, 1))
        return _from_heads(for_query[None]), _from_heads(for_key_value), None, None, None


def _drop(x: Tensor, keep: Tensor | None, scale: float) -> Tensor:
    return x if keep is None else torch.ops.aten.native_dropout_backward(x, keep, scale)


def _by_head(x: Tensor, parts: int, num_heads: int) -> Tensor:
    """(B, L, parts * D) as (parts, B, H, L, W), contiguous."""
    return x.unflatten(-1, (parts, num_heads, -1)).permute(2, 0, 3, 1, 4).contiguous()


def _from_heads(x: Tensor) -> Tensor:
    """(parts, B, H, L, W) as (B, L, parts * D), contiguous."""
    return x.permute(1, 3, 0, 2, 4).flatten(2)
