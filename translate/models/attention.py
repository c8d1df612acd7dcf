"""Attention with several heads, over padded or packed sentences (Vaswani et al. 2017).

The only place that asks how a batch is laid out, and on what device.

Letters: B sentences, T queries, S keys, D width, H heads, W = D / H; N tokens end to end when packed.
"""

from __future__ import annotations

from torch import Tensor, nn

from translate.models.attention_kernels import (
    attend_by_hand,
    attend_explicitly,
    attend_fused,
    attend_packed,
    attend_packed_reference,
)
from translate.models.visibility import Visibility


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
        query, key_value = self.query(x), self.key_value(memory)
        rate = self.dropout_rate if self.training else 0.0
        if not (return_weights or visible.is_packed or query.is_cuda):
            heads = attend_by_hand(query, key_value, visible.bias, num_heads=self.num_heads, dropout_rate=rate)
            return self.output(heads), None
        query, (key, value) = self._split(query), (self._split(y) for y in key_value.chunk(2, dim=-1))
        if visible.is_packed:
            kernel = attend_packed if query.is_cuda else attend_packed_reference
            return self.output(kernel(query, key, value, visible).flatten(-2)), None
        if return_weights:
            heads, weights = attend_explicitly(query, key, value, visible.bias, dropout_rate=rate)
            return self._join(heads), weights
        return self._join(attend_fused(query, key, value, visible.bias, dropout_rate=rate)), None

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, W) of memory (B, S, D), to be kept while hypotheses grow."""
        key, value = (self._split(y) for y in self.key_value(memory).chunk(2, dim=-1))
        return key, value

    def attend(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """x (B, T, D) attends to kept keys and values (B, H, S, W)."""
        heads, _ = attend_explicitly(self._split(self.query(x)), key, value, bias, dropout_rate=0.0)
        return self._join(heads)

    def _join(self, heads: Tensor) -> Tensor:
        return self.output(heads.transpose(1, 2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) as (B, H, T, W), and (N, D) as (N, H, W)."""
        heads = x.unflatten(-1, (self.num_heads, -1))
        return heads.transpose(1, 2) if x.dim() == 3 else heads
