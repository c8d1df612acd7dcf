"""Attention within packed sentences, whose tokens are concatenated without padding.

Letters: N tokens, H heads, T queries and S keys of a sentence, W width of a head.
"""

from __future__ import annotations

import inspect
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from translate.models.attention import AttentionMask


# Tokens for each sentence that a batch has room for, up to which the memory-efficient kernel is used. On an H100 it is
# the faster one up to 100 to 150 tokens a sentence in heads of 64, 75 to 90 in heads of 32 (docs/gpu.md, Kernels);
# batches have room for up to twice their sentences, so that these bounds are met at their mean or at twice that.
_SHORT, _SHORT_IN_NARROW_HEADS = 88, 60
_NARROW = 32


def attend_packed_fused(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """Attention within packed sentences, (N, H, W) all, bf16 or fp16, on a GPU, by the kernel for their length."""
    assert mask.query_offsets is not None
    room = len(mask.query_offsets) - 1
    bound = _SHORT_IN_NARROW_HEADS if query.shape[-1] <= _NARROW else _SHORT
    is_short = max(len(query), len(key)) <= bound * room
    return (attend_packed_short if is_short else attend_packed_flash)(query, key, value, mask)


def attend_packed_short(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """PyTorch's memory-efficient attention, which computes 64 x 64 scores at a time where flash takes 128 x 128.

    Of its public functions none takes offsets but those of nested tensors, which would convert all tensors.
    """
    heads, *_ = torch.ops.aten._efficient_attention_forward(
        query[None],
        key[None],
        value[None],
        bias=None,
        cu_seqlens_q=mask.query_offsets,
        cu_seqlens_k=mask.key_offsets,
        max_seqlen_q=min(mask.max_queries, len(query)),  # upper bounds; above the number of all tokens they are refused
        max_seqlen_k=min(mask.max_keys, len(key)),
        dropout_p=0.0,
        custom_mask_type=int(mask.causal),
        compute_log_sumexp=torch.is_grad_enabled(),
    )
    assert isinstance(heads, Tensor)
    return heads.squeeze(0)  # heads[0] would have a gradient that fills a tensor with zeros, and copies


def attend_packed_flash(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """PyTorch's variable-length flash attention."""
    from torch.nn.attention.varlen import varlen_attn

    assert mask.query_offsets is not None
    lengths = mask.query_offsets, mask.key_offsets, mask.max_queries, mask.max_keys
    heads = varlen_attn(query, key, value, *lengths, **_causal_argument(mask.causal))
    assert isinstance(heads, Tensor)
    return heads


@cache
def _causal_argument(causal: bool) -> dict[str, Any]:
    """Causal attention as varlen_attn takes it: a window in newer releases of PyTorch, a flag in older ones."""
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" in inspect.signature(varlen_attn).parameters:
        return {"window_size": (-1, 0) if causal else (-1, -1)}  # keys to the left and to the right; -1: no limit
    return {"is_causal": causal}


def attend_packed_reference(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """Attention within packed sentences, one after the other: for tests, and for devices without the kernel."""
    assert mask.query_offsets is not None
    assert mask.key_offsets is not None
    queries, keys = pairwise(mask.query_offsets.tolist()), pairwise(mask.key_offsets.tolist())
    pieces = []
    for (q0, q1), (k0, k1) in zip(queries, keys, strict=True):
        q, k, v = (x.transpose(0, 1) for x in (query[q0:q1], key[k0:k1], value[k0:k1]))  # (H, T or S, W)
        if q1 > q0:  # empty sentences fill up the offsets
            pieces.append(F.scaled_dot_product_attention(q, k, v, is_causal=mask.causal).transpose(0, 1))
    return torch.cat(pieces)
