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


# Most tokens per sentence slot for the memory-efficient kernel. On an H100 it is faster than flash attention if
# sentences have on average up to 100 to 150 tokens with heads of 64, and 75 to 90 with heads of 32 (docs/gpu.md,
# Kernels). A batch has up to twice as many slots as sentences: the switch is at means from the bound to twice that.
_MAX_TOKENS, _MAX_TOKENS_NARROW_HEADS = 88, 60
_NARROW_HEAD = 32


def attend_packed_fused(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """Attention within packed sentences on a GPU, by the faster kernel for their mean length.

    query, key and value (N, H, W), bf16 or fp16; returns (N, H, W).
    """
    assert mask.query_offsets is not None
    num_slots = len(mask.query_offsets) - 1
    bound = _MAX_TOKENS_NARROW_HEADS if query.shape[-1] <= _NARROW_HEAD else _MAX_TOKENS
    is_short = max(len(query), len(key)) <= bound * num_slots
    return (attend_packed_memory_efficient if is_short else attend_packed_flash)(query, key, value, mask)


def attend_packed_memory_efficient(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """PyTorch's memory-efficient attention, for short sentences: blocks of 64 x 64 scores, those of flash 128 x 128.

    Called by its internal name: the only public functions that pass offsets to it are those of nested tensors, which
    would need a conversion of all tensors.
    """
    heads, *_ = torch.ops.aten._efficient_attention_forward(
        query[None],
        key[None],
        value[None],
        bias=None,
        cu_seqlens_q=mask.query_offsets,
        cu_seqlens_k=mask.key_offsets,
        max_seqlen_q=min(mask.max_queries, len(query)),  # upper bounds, which must not exceed the number of tokens
        max_seqlen_k=min(mask.max_keys, len(key)),
        dropout_p=0.0,
        custom_mask_type=int(mask.causal),
        compute_log_sumexp=torch.is_grad_enabled(),
    )
    assert isinstance(heads, Tensor)
    return heads.squeeze(0)  # the gradient of heads[0] would be copied into a tensor of zeros


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
    """The argument of varlen_attn for causal attention: a window in newer releases of PyTorch, a flag in older ones."""
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" in inspect.signature(varlen_attn).parameters:
        return {"window_size": (-1, 0) if causal else (-1, -1)}  # keys to the left and to the right; -1: no limit
    return {"is_causal": causal}


def attend_packed_reference(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """Attention within packed sentences, one after the other: for tests, and for devices without these kernels."""
    assert mask.query_offsets is not None
    assert mask.key_offsets is not None
    queries, keys = pairwise(mask.query_offsets.tolist()), pairwise(mask.key_offsets.tolist())
    pieces = []
    for (q0, q1), (k0, k1) in zip(queries, keys, strict=True):
        q, k, v = (x.transpose(0, 1) for x in (query[q0:q1], key[k0:k1], value[k0:k1]))  # (H, T or S, W)
        if q1 > q0:  # empty sentences fill up the offsets
            pieces.append(F.scaled_dot_product_attention(q, k, v, is_causal=mask.causal).transpose(0, 1))
    return torch.cat(pieces)
