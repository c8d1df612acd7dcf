"""The parts of a Transformer layer that are blind to layout: they act on the last dimension alone."""

from __future__ import annotations

import math
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.models.dropout import Dropout


class Norm(StrEnum):
    layer_norm = "layer_norm"
    rms_norm = "rms_norm"


class Activation(StrEnum):
    relu = "relu"
    gelu = "gelu"
    swiglu = "swiglu"


class Positions(StrEnum):
    """How a model is told the order of tokens: by its embeddings, or, rotary, by turning queries and keys.

    none: by its structure alone, or not at all.
    """

    sinusoidal = "sinusoidal"
    learned = "learned"
    rotary = "rotary"
    none = "none"


def make_norm(norm: Norm, d_model: int) -> nn.Module:
    return nn.LayerNorm(d_model) if norm is Norm.layer_norm else nn.RMSNorm(d_model, eps=1e-6)


class FeedForward(nn.Module):
    """Two linear maps with a non-linearity between; SwiGLU gates it with a third (Shazeer 2020)."""

    def __init__(self, *, d_model: int, ffn_dim: int, activation: Activation, activation_dropout: float):
        super().__init__()
        self.activation = activation
        self.inner = nn.Linear(d_model, ffn_dim * (2 if activation is Activation.swiglu else 1))
        self.outer = nn.Linear(ffn_dim, d_model)
        self.dropout = Dropout(activation_dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.dropout(self._activate(self.inner(x))))

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation is Activation.swiglu:
            gate, value = x.chunk(2, dim=-1)
            return F.silu(gate) * value
        return F.relu(x) if self.activation is Activation.relu else F.gelu(x)


class Embedding(nn.Module):
    """Token embeddings scaled by √D, plus positions; some tokens dropped whole, then single elements."""

    positions: Tensor | None

    def __init__(
        self,
        tokens: nn.Embedding,
        *,
        positions: Positions,
        max_positions: int,
        dropout: float,
        token_dropout: float,
    ):
        super().__init__()
        self.tokens = tokens
        self.scale = math.sqrt(tokens.embedding_dim)
        self.token_dropout = token_dropout
        self.dropout = Dropout(dropout)
        sizes = max_positions, tokens.embedding_dim
        table = sinusoids(*sizes) if positions is Positions.sinusoidal else None
        self.register_buffer("positions", table, persistent=False)
        if positions is Positions.learned:
            self.positions = nn.Parameter(torch.randn(sizes) / self.scale)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        x = self.tokens(ids) * self.scale
        if self.training and self.token_dropout:
            x = x * (torch.rand(ids.shape, device=ids.device) >= self.token_dropout).unsqueeze(-1)
        return self.dropout(x if self.positions is None else x + F.embedding(positions, self.positions))


def sinusoids(length: int, d_model: int) -> Tensor:
    """(length, D): sines in the first half and cosines in the second, wavelengths from 2π to 10,000 · 2π.

    Vaswani et al. 2017, section 3.5, with the two interleaved halves side by side.
    """
    table = angles(length, d_model)
    return torch.cat([table.sin(), table.cos()], dim=-1)[:, :d_model]


def angles(length: int, width: int) -> Tensor:
    """(length, width / 2, rounded up): place n times frequencies from 1 down to nearly 1 / 10,000."""
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    return torch.arange(length)[:, None] * frequencies
