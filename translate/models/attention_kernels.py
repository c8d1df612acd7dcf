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
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.dropout import dropout, dropout_mask
from translate.models.rotary import Rotation
from translate.models.visibility import Visibility, hidden_bias


class Weighting(StrEnum):
    """Function from scores to weights: softmax over the keys, or sigmoid of each score."""

    softmax = "softmax"
    sigmoid = "sigmoid"


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, D) as (B, H, T, W), and (N, D) as (N, H, W)."""
    heads = x.unflatten(-1, (num_heads, -1))
    return heads.transpose(1, 2) if x.dim() == 3 else heads


def join_heads(heads: Tensor) -> Tensor:
    """(B, H, T, W) as (B, T, D)."""
    return heads.transpose(1, 2).flatten(-2)


def attend_explicitly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    *,
    dropout_rate: float,
    weighting: Weighting = Weighting.softmax,
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √W + bias) V for (B, H, T, W) queries and (B, H, S, W) keys; also the weights (B, H, T, S).

    With sigmoid in the place of softmax, scores are lowered by the logarithm of the number of visible keys, so that
    weights begin with a sum of about one (Ramapuram et al. 2024, "Theory, Analysis, and Best Practices for Sigmoid
    Self-Attention").
    """
    scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1) if weighting is Weighting.softmax else (scores - _log_visible(scores, bias)).sigmoid()
    return dropout(weights, dropout_rate) @ value, weights


def _log_visible(scores: Tensor, bias: Tensor | None) -> Tensor | float:
    """The logarithm of the number of keys that each query sees."""
    if bias is None:
        return math.log(scores.shape[-1])
    return (bias > hidden_bias(bias.dtype) / 2).sum(-1, keepdim=True).clamp(min=1).log()


def attend_fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, dropout_rate: float) -> Tensor:
    """Like attend_explicitly, by PyTorch's fused kernels, without weights in the result."""
    mask = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_rate)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, visible: Visibility) -> Tensor:
    """Like attend_fused for packed sentences: (N, H, W) queries, keys and values, bf16 or fp16, on a GPU.

    PyTorch's kernel has no dropout of attention weights: models with it are trained on padded batches.
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
    """Reference for attend_packed, one sentence after the other: for tests and for devices without the kernel."""
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

    Autograd would copy each of queries, keys, values and their gradients between layouts several times, which on a
    CPU takes longer than the products; here each is copied once.
    """
    return _CrossByHand.apply(query, key_value, bias, num_heads, dropout_rate)


def self_attend_by_hand(
    query_key_value: Tensor, bias: Tensor | None, rotation: Rotation | None, *, num_heads: int, dropout_rate: float
) -> Tensor:
    """Like attend_by_hand for queries, keys and values (B, T, 3 D) of one projection."""
    return _SelfByHand.apply(query_key_value, bias, rotation, num_heads, dropout_rate)


class _CrossByHand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, bias: Tensor | None, num_heads: int, dropout_rate: float
    ) -> Tensor:
        q, (k, v) = _by_head(query, 1, num_heads)[0], _by_head(key_value, 2, num_heads)
        return _forward_by_hand(ctx, q, k, v, bias, dropout_rate)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        query, key, *_ = ctx.saved_tensors
        for_query, for_key_value = query.new_empty((1, *query.shape)), key.new_empty((2, *key.shape))
        _backward_by_hand(ctx, gradient, for_query[0], for_key_value[0], for_key_value[1])
        return _from_heads(for_query), _from_heads(for_key_value), None, None, None


class _SelfByHand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_key_value: Tensor,
        bias: Tensor | None,
        rotation: Rotation | None,
        num_heads: int,
        dropout_rate: float,
    ) -> Tensor:
        parts = _by_head(query_key_value, 3, num_heads)
        ctx.rotation = rotation
        (q, k), v = parts[:2] if rotation is None else rotation.turn(parts[:2]), parts[2]
        return _forward_by_hand(ctx, q, k, v, bias, dropout_rate)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        query, *_ = ctx.saved_tensors
        for_all = query.new_empty((3, *query.shape))
        _backward_by_hand(ctx, gradient, *for_all)
        if ctx.rotation is not None:
            for_all[:2] = ctx.rotation.turn_back(for_all[:2])
        return _from_heads(for_all), None, None, None, None


def _forward_by_hand(
    ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout_rate: float
) -> Tensor:
    """(B, H, T, W) queries, (B, H, S, W) keys and values, contiguous; (B, T, D)."""
    batch_heads = query.shape[:2]
    ctx.scale = 1 / math.sqrt(query.shape[-1])
    scores = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).unflatten(0, batch_heads)
    scores = scores.mul_(ctx.scale) if bias is None else torch.add(bias, scores, alpha=ctx.scale)
    weights = scores.softmax(-1)
    keep, ctx.keep_scale = dropout_mask(weights.shape, dropout_rate) if dropout_rate else (None, 1.0)
    dropped = _drop(weights, keep, ctx.keep_scale)
    ctx.save_for_backward(query, key, value, weights, dropped, keep)
    return _from_heads(torch.bmm(dropped.flatten(0, 1), value.flatten(0, 1)).unflatten(0, batch_heads)[None])


def _backward_by_hand(ctx: Any, gradient: Tensor, for_query: Tensor, for_key: Tensor, for_value: Tensor) -> None:
    """Fill in the gradients, (B, H, T, W) and (B, H, S, W), from that of the result, (B, T, D)."""
    *saved, keep = ctx.saved_tensors
    query, key, value, weights, dropped = (x.flatten(0, 1) for x in saved)
    [gradient] = _by_head(gradient, 1, for_query.shape[1])
    gradient = gradient.flatten(0, 1)
    torch.bmm(dropped.transpose(1, 2), gradient, out=for_value.flatten(0, 1))
    keep = None if keep is None else keep.flatten(0, 1)
    for_weights = _drop(torch.bmm(gradient, value.transpose(1, 2)), keep, ctx.keep_scale)
    for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype).mul_(ctx.scale)
    torch.bmm(for_scores, key, out=for_query.flatten(0, 1))
    torch.bmm(for_scores.transpose(1, 2), query, out=for_key.flatten(0, 1))


def _drop(x: Tensor, keep: Tensor | None, scale: float) -> Tensor:
    return x if keep is None else torch.ops.aten.native_dropout_backward(x, keep, scale)


def _by_head(x: Tensor, parts: int, num_heads: int) -> Tensor:
    """(B, L, parts * D) as (parts, B, H, L, W), contiguous."""
    return x.unflatten(-1, (parts, num_heads, -1)).permute(2, 0, 3, 1, 4).contiguous()


def _from_heads(x: Tensor) -> Tensor:
    """(parts, B, H, L, W) as (B, L, parts * D), contiguous."""
    return x.permute(1, 3, 0, 2, 4).flatten(2)
