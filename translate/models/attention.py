"""Attention with several heads, over padded or packed sentences (Vaswani et al. 2017, section 3.2).

Only this file and packed_attention.py depend on whether a batch is padded or packed.

Letters: B sentences, T queries, S keys, D width, H heads, W = D / H; N tokens end to end when packed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Tokens
from translate.errors import UserError
from translate.models.batch_invariant_attention import attend_batch_invariant
from translate.models.kv_cache import LayerCache
from translate.models.layers import HeadNorm, dropout, join_heads, mask_value, split_heads
from translate.models.packed_attention import attend_packed_fused, attend_packed_reference
from translate.models.rotary import Rotation
from translate.models.seq2seq import ModelConfig


class Weighting(StrEnum):
    """Function that turns scores into weights: softmax over the keys, or sigmoid of each score."""

    softmax = "softmax"
    sigmoid = "sigmoid"


class Norm(StrEnum):
    layer_norm = "layer_norm"
    rms_norm = "rms_norm"


@dataclass(kw_only=True)
class AttentionConfig(ModelConfig):
    """Settings of attention.

    attention  softmax, or sigmoid, whose weights need not sum to 1 (Ramapuram et al. 2024)
    bias       whether linear layers and norms have biases
    qk_norm    RMSNorm of each head's queries and keys in self-attention, which bounds the scores (Henry et al. 2020,
               with RMSNorm instead of unit length)
    """

    RATES: ClassVar = (*ModelConfig.RATES, "attention_dropout")
    SIZES: ClassVar = (*ModelConfig.SIZES, "num_heads")

    num_heads: int = 8
    attention: Weighting = Weighting.softmax
    attention_dropout: float = 0.0
    norm: Norm = Norm.layer_norm
    bias: bool = True
    qk_norm: bool = False

    @property
    def norm_epsilon(self) -> float:
        """Epsilon of all norms, those of queries and keys included."""
        return 1e-5 if self.norm is Norm.layer_norm else 1e-6

    @property
    def head_width(self) -> int:
        return self.d_model // self.num_heads

    @property
    def has_attention(self) -> bool:
        return True

    @property
    def reads_packed(self) -> bool:
        return self.attention is Weighting.softmax and self.attention_dropout == 0

    def check(self) -> None:
        super().check()
        if self.d_model % self.num_heads:
            raise UserError(f"model.d_model ({self.d_model}) must be a multiple of model.num_heads ({self.num_heads})")


@dataclass(frozen=True, eq=False)
class AttentionMask:
    """The keys that each query may attend to, computed once per forward pass and used by every layer.

    bias  of padded sentences: (B, 1, 1 or T, S), added to the scores, 0 for visible keys, `mask_value` for others
    query_offsets, key_offsets, max_queries, max_keys  of packed sentences, as in Tokens
    causal  of packed sentences: no query sees a later key (for padded sentences, bias contains this)
    """

    bias: Tensor | None = None
    causal: bool = False
    query_offsets: Tensor | None = None
    key_offsets: Tensor | None = None
    max_queries: int = 0
    max_keys: int = 0

    @property
    def is_packed(self) -> bool:
        return self.query_offsets is not None


def make_attention_mask(queries: Tokens, keys: Tokens, *, causal: bool) -> AttentionMask:
    """Let queries attend to the real tokens of their sentence; with causal=True, only up to their own position."""
    # offsets instead of a bias, which would have N x N elements
    if queries.is_packed:
        return AttentionMask(
            causal=causal,
            query_offsets=queries.offsets,
            key_offsets=keys.offsets,
            max_queries=queries.max_length,
            max_keys=keys.max_length,
        )
    assert keys.mask is not None
    visible = keys.mask[:, None, None, :]  # (B, 1, 1, S)
    if causal:
        length = keys.mask.shape[1]
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()  # (B, 1, T, S)
    device = visible.device
    # autocast's dtype, which scores have: adding a bias of a wider dtype would convert them
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else torch.float32
    bias = torch.zeros(visible.shape, dtype=dtype, device=device).masked_fill_(~visible, mask_value(dtype))
    return AttentionMask(bias)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: AttentionMask,
    *,
    weighting: Weighting = Weighting.softmax,
    dropout_rate: float = 0.0,
    batch_invariant: bool = False,
    return_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(Q Kᵀ / √W + bias) V; the only function that chooses a kernel.

    packed, on a GPU                   attend_packed_fused: flash attention or, for short sentences, memory-efficient
                                       attention; bf16 or fp16, no dropout of weights
    packed, elsewhere                  attend_packed_reference: one sentence after the other
    return_weights, or sigmoid         attend_reference: the formula, with matrix products
    dropout of weights, on a CPU       attend_reference: its dropout masks are cheaper than those of PyTorch's kernel
    batch_invariant (int8 weights)     attend_batch_invariant: sums whose order does not depend on the batch
    everything else                    PyTorch's scaled_dot_product_attention

    query (B, H, T, W), key and value (B, H, S, W), or (N, H, W) packed; returns the joined heads, (B, T, D) or (N, D),
    and with return_weights the weights (B, H, T, S).
    """
    if mask.is_packed:
        assert weighting is Weighting.softmax, "the kernels for packed sentences have only softmax"
        assert not return_weights, "the kernels for packed sentences return no weights"
        attend_packed = attend_packed_fused if query.is_cuda else attend_packed_reference
        return attend_packed(query, key, value, mask).flatten(-2), None
    assert mask.bias is not None
    if return_weights or weighting is not Weighting.softmax or (dropout_rate and not query.is_cuda):
        heads, weights = attend_reference(query, key, value, mask.bias, weighting=weighting, dropout_rate=dropout_rate)
        return join_heads(heads), weights if return_weights else None
    if batch_invariant:
        return join_heads(attend_batch_invariant(query, key, value, mask.bias)), None
    bias = mask.bias.to(query.dtype)
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout_rate)
    return join_heads(heads), None


def attend_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    *,
    weighting: Weighting = Weighting.softmax,
    dropout_rate: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The formula of attention: heads (B, H, T, W) and weights (B, H, T, S) for keys (B, H, S, W).

    For sigmoid, the logarithm of the number of visible keys is subtracted from the scores, so that weights sum to about
    1 at the start of training (Ramapuram et al. 2024, "Theory, Analysis, and Best Practices for Sigmoid
    Self-Attention").
    """
    # the query is scaled before the product: unscaled scores could overflow in fp16
    scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-1, -2) + bias
    if weighting is Weighting.softmax:
        weights = scores.softmax(-1)
    else:
        # at least 1: a padding row sees no key, and log 0 would make its scores infinite
        num_visible = (bias > mask_value(bias.dtype) / 2).sum(-1, keepdim=True).clamp(min=1)
        weights = (scores - num_visible.log()).sigmoid()
    return dropout(weights, dropout_rate) @ value, weights


def make_norm(config: AttentionConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019)."""
    if config.norm is Norm.rms_norm:
        return nn.RMSNorm(config.d_model, eps=config.norm_epsilon)
    return nn.LayerNorm(config.d_model, eps=config.norm_epsilon, bias=config.bias)


class MultiHeadAttention(nn.Module):
    """Common part of self- and cross-attention: from projected queries, keys and values to the output.

    prefix           module of adapt=prefix, which prepends its keys and values (translate/adaptation.py); None without
    batch_invariant  True in copies with int8 weights (quantised.py)
    """

    prefix: nn.Module | None
    batch_invariant: bool = False

    def __init__(self, config: AttentionConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout_rate = config.attention_dropout
        self.weighting = config.attention
        self.output = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.prefix = None

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, *, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        num_keys = key.shape[-2]
        if self.prefix is not None:
            assert not mask.is_packed, "prefixes are prepended to padded sentences only"
            key, value, bias = self.prefix(key, value, mask.bias)
            mask = AttentionMask(bias)
        heads, weights = attend(
            query,
            key,
            value,
            mask,
            weighting=self.weighting,
            dropout_rate=self.dropout_rate if self.training else 0.0,
            batch_invariant=self.batch_invariant,
            return_weights=return_weights,
        )
        # drop the weights of the prefix, whose keys come first
        return self.output(heads), None if weights is None else weights[..., -num_keys:]


class SelfAttention(MultiHeadAttention):
    """Attention of every token to the tokens of its own sentence."""

    def __init__(self, config: AttentionConfig):
        super().__init__(config)
        self.query_key_value = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)  # one product, not three
        self.has_head_norms = config.qk_norm
        if config.qk_norm:
            self.query_norm, self.key_norm = (HeadNorm(config.head_width, eps=config.norm_epsilon) for _ in range(2))

    def forward(
        self,
        x: Tensor,
        mask: AttentionMask,
        rotation: Rotation | None = None,
        *,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) or (N, D); returns the same shape, and with return_weights the weights (B, H, T, S).

        cache  x has only the newest tokens: their keys and values are appended, and mask covers the whole cache
        """
        heads = split_heads(self.query_key_value(x), 3 * self.num_heads)  # (B, 3H, T, W) or (N, 3H, W)
        if self.has_head_norms:
            query, key, value = heads.chunk(3, dim=1)
            heads = torch.cat([self.query_norm(query), self.key_norm(key), value], dim=1)
        # rotate before keys are cached: their positions never change
        query, key, value = heads.chunk(3, dim=1) if rotation is None else rotation.split(heads)
        if cache is not None:
            key, value = cache.append(key, value)
        return self._attend(query, key, value, mask, return_weights=return_weights)


class CrossAttention(MultiHeadAttention):
    """Attention of every target token to the source tokens of its sentence."""

    def __init__(self, config: AttentionConfig):
        super().__init__(config)
        self.query = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        # separate from the query: computed once per sentence
        self.key_value = nn.Linear(config.d_model, 2 * config.d_model, bias=config.bias)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, W) of the encoder's output (B, S, D), computed once per sentence."""
        return self.split_memory(self.key_value(memory))

    def split_memory(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, W) from their common projection (B, S, 2D)."""
        key, value = (split_heads(part, self.num_heads) for part in projected.chunk(2, dim=-1))
        return key, value

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor], mask: AttentionMask, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D); memory: see project_memory. Returns the same shape, and with return_weights (B, H, T, S)."""
        query = split_heads(self.query(x), self.num_heads)
        return self._attend(query, *memory, mask, return_weights=return_weights)
