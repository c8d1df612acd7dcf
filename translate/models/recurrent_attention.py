"""Attention of a recurrent decoder to the source.

    bahdanau       v · tanh(W q + U k)               Bahdanau, Cho and Bengio 2015, equation 6 and appendix A.1.2
    luong_dot      q · k                             Luong, Pham and Manning 2015, equation 7
    luong_general  q · W k                           the same
    multi_head     bahdanau with several v, each over a part of D and with weights of its own

Letters: B sentences, T queries, S keys, D width, H heads, W = D / H.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor, nn

from translate.models.layers import join_heads, split_heads


class RecurrentAttention(StrEnum):
    none = "none"
    bahdanau = "bahdanau"
    luong_dot = "luong_dot"
    luong_general = "luong_general"
    multi_head = "multi_head"


class Additive(nn.Module):
    """Scores of the keys by a small network, one for each head."""

    def __init__(self, *, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model)
        self.score = nn.Parameter(torch.empty(num_heads, d_model // num_heads))
        # bounds of nn.Linear; a plain parameter starts without values
        nn.init.uniform_(self.score, -(d_model**-0.5), d_model**-0.5)

    def keys(self, memory: Tensor) -> Tensor:
        """Keys (B, S, D) of the source (B, S, D), computed once per sentence."""
        return self.key(memory)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, H, T, S) of queries (B, T, D)."""
        # (B, T, S, D): W q + U k apart, since keys are the same in every step
        sums = self.query(query)[:, :, None] + keys[:, None]
        # each head reads its own W elements of the sum
        return torch.einsum("btshw,hw->bhts", sums.tanh().unflatten(-1, (self.num_heads, -1)), self.score)


class Multiplicative(nn.Module):
    """Scores by products of queries and keys, which `general` maps first."""

    num_heads = 1

    def __init__(self, *, d_model: int, general: bool):
        super().__init__()
        self.key = nn.Linear(d_model, d_model, bias=False) if general else nn.Identity()

    def keys(self, memory: Tensor) -> Tensor:
        return self.key(memory)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return (query @ keys.transpose(1, 2)).unsqueeze(1)  # one head: (B, 1, T, S)


def make_attention(attention: RecurrentAttention, *, d_model: int, num_heads: int) -> Additive | Multiplicative:
    if attention in (RecurrentAttention.luong_dot, RecurrentAttention.luong_general):
        return Multiplicative(d_model=d_model, general=attention is RecurrentAttention.luong_general)
    return Additive(d_model=d_model, num_heads=num_heads if attention is RecurrentAttention.multi_head else 1)


def attend(scores: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Means (B, T, D) of values (B, S, D), each head's over its part of D; also the weights (B, H, T, S).

    scores (B, H, T, S); bias (B, 1, 1, S) masks padding.
    """
    weights = (scores + bias).softmax(-1)
    return join_heads(weights @ split_heads(values, weights.shape[1])), weights
