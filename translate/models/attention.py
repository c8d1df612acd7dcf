"""Attention with several heads, over padded or packed sentences (Vaswani et al. 2017).

The only place that asks how a batch is laid out, and on what device.

Letters: B sentences, T queries, S keys, D width, H heads, W = D / H; N tokens end to end when packed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from translate.models.attention_kernels import (
    Weighting,
    attend_by_hand,
    attend_explicitly,
    attend_fused,
    attend_packed,
    attend_packed_reference,
    join_heads,
    self_attend_by_hand,
    split_heads,
)
from translate.models.rotary import Rotation
from translate.models.visibility import Visibility


class Prefix(nn.Module):
    """Keys and values that every query sees before those of its sentence (Li and Liang 2021).

    A bias for each head begins by giving all of them together the weight of a single key that nobody asked for.
    """

    def __init__(self, *, d_model: int, num_heads: int, length: int):
        super().__init__()
        width = d_model // num_heads
        self.key = nn.Parameter(torch.randn(num_heads, length, width) / math.sqrt(width))
        self.value = nn.Parameter(torch.zeros(num_heads, length, width))
        self.bias = nn.Parameter(torch.full((num_heads, 1, 1), -math.log(length)))

    @property
    def length(self) -> int:
        return self.key.shape[1]

    def before(self, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (B, H, S, W) with P more, and their bias (B, 1, 1 or T, S) as (B, H, 1 or T, P + S)."""
        sentences, heads, queries = len(key), len(self.bias), bias.shape[2]
        own = self.bias.expand(sentences, heads, queries, self.length).to(bias.dtype)
        return (
            torch.cat([self.key.to(key.dtype).expand(sentences, -1, -1, -1), key], dim=2),
            torch.cat([self.value.to(value.dtype).expand(sentences, -1, -1, -1), value], dim=2),
            torch.cat([own, bias.expand(-1, heads, -1, -1)], dim=3),
        )


class MultiHeadAttention(nn.Module):
    """What self- and cross-attention share: how queries, keys and values, once projected, become an output.

    prefix   what adaptation may add
    watcher  is told the weights (B, H, T, S) of every pass, while somebody looks
    """

    prefix: Prefix | None
    watcher: Callable[[Tensor], None] | None

    def __init__(self, *, d_model: int, num_heads: int, dropout_rate: float, weighting: Weighting):
        super().__init__()
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.weighting = weighting
        self.output = nn.Linear(d_model, d_model)
        self.prefix = None
        self.watcher = None

    def attend_kept(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Queries (B, H, T, W) over kept keys and values (B, H, S, W), as they are split; (B, T, D)."""
        if self.prefix is not None:
            key, value, bias = self.prefix.before(key, value, bias)
        if self.weighting is not Weighting.softmax:
            heads, _ = attend_explicitly(query, key, value, bias, dropout_rate=0.0, weighting=self.weighting)
            return self.output(join_heads(heads))
        return self.output(join_heads(attend_fused(query, key, value, bias, dropout_rate=0.0)))

    def _split(self, x: Tensor) -> Tensor:
        return split_heads(x, self.num_heads)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Visibility, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Queries (B, H, T, W), keys and values (B, H, S, W), or (N, H, W) all; the result is (B, T, D) or (N, D)."""
        if visible.is_packed:
            assert self.weighting is Weighting.softmax, "kernels of packed sentences know no other"
            assert self.prefix is None, "nor a prefix"
            kernel = attend_packed if query.is_cuda else attend_packed_reference
            return self.output(kernel(query, key, value, visible).flatten(-2)), None
        bias, keys = visible.bias, key.shape[2]
        assert bias is not None
        if self.prefix is not None:
            key, value, bias = self.prefix.before(key, value, bias)
        if return_weights or self.watcher or self.weighting is not Weighting.softmax:
            heads, weights = attend_explicitly(
                query, key, value, bias, dropout_rate=self._rate, weighting=self.weighting
            )
            weights = weights[..., -keys:]
            if self.watcher:
                self.watcher(weights)
            return self.output(join_heads(heads)), weights if return_weights else None
        return self.output(join_heads(attend_fused(query, key, value, bias, dropout_rate=self._rate))), None

    @property
    def _by_hand(self) -> bool:
        """True if the kernels for training on a CPU do what this attention does."""
        return self.weighting is Weighting.softmax and self.prefix is None and self.watcher is None

    @property
    def _rate(self) -> float:
        return self.dropout_rate if self.training else 0.0


class SelfAttention(MultiHeadAttention):
    """Every token attends to those of its own sentence that it may see."""

    def __init__(self, *, d_model: int, **settings: Any):
        super().__init__(d_model=d_model, **settings)
        self.query_key_value = nn.Linear(d_model, 3 * d_model)

    def forward(self, x: Tensor, visible: Visibility) -> Tensor:
        """x (B, T, D) or (N, D); the result is like it."""
        projected = self.query_key_value(x)
        if visible.is_packed or projected.is_cuda or not self._by_hand:
            query, key, value = (self._split(part) for part in projected.chunk(3, dim=-1))
            if visible.rotation is not None:
                query, key = visible.rotation.turn(query), visible.rotation.turn(key)
            return self._attend(query, key, value, visible)[0]
        heads = self_attend_by_hand(
            projected, visible.bias, visible.rotation, num_heads=self.num_heads, dropout_rate=self._rate
        )
        return self.output(heads)

    def project(self, x: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor]:
        """The query (B, H, T, W), and key and value (2, B, H, T, W), of x (B, T, D)."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            parts = torch.cat([rotation.turn(parts[:2]), parts[2:]])
        return parts[0], parts[1:]


class CrossAttention(MultiHeadAttention):
    """Every target token attends to the source tokens of its sentence."""

    def __init__(self, *, d_model: int, **settings: Any):
        super().__init__(d_model=d_model, **settings)
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)

    def forward(
        self, x: Tensor, memory: Tensor, visible: Visibility, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) over memory (B, S, D), or (N, D) both; the result is like x. Also the weights (B, H, T, S)."""
        query, key_value = self.query(x), self.key_value(memory)
        if return_weights or visible.is_packed or query.is_cuda or not self._by_hand:
            query, key, value = (self._split(part) for part in (query, *key_value.chunk(2, dim=-1)))
            return self._attend(query, key, value, visible, return_weights=return_weights)
        heads = attend_by_hand(query, key_value, visible.bias, num_heads=self.num_heads, dropout_rate=self._rate)
        return self.output(heads), None

    def project(self, x: Tensor) -> Tensor:
        """The query (B, H, T, W) of x (B, T, D)."""
        return self._split(self.query(x))

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, W) of memory (B, S, D), to be kept while hypotheses grow."""
        key, value = (self._split(part).contiguous() for part in self.key_value(memory).chunk(2, dim=-1))
        return key, value
