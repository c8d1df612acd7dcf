"""Losses on the cross-attention of the last decoder layer, averaged over heads.

Letters: B sentences, H heads, T and S target and source tokens; a_ts the weight of source token s for target token t.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from translate.batch import NO_TARGET, Batch
from translate.errors import require_between
from translate.losses.auxiliary import AuxiliaryLossConfig
from translate.losses.cross_entropy import label_smoothed_cross_entropy
from translate.models.seq2seq import Output, Seq2Seq


class Over(StrEnum):
    keys = "keys"
    queries = "queries"


@dataclass(kw_only=True)
class SelfAttentionLossConfig(AuxiliaryLossConfig):
    """‖Σ a - 1‖², summed over the keys of each query, or over the queries of each key.

    Over keys it is zero wherever weights are a softmax. Over queries it asks every source token to be attended to
    once: doubly stochastic attention (Xu et al. 2015, section 4.2.1).
    """

    NEEDS_ATTENTION = True

    over: Over = Over.queries


@dataclass(kw_only=True)
class AttentionWeightedConfig(AuxiliaryLossConfig):
    """-Σ w_t log p_t, where w_t is the attention that the source tokens attended to by t receive from all of T.

    Weights of a sentence sum to its number of target tokens; no gradient goes through them.
    """

    NEEDS_ATTENTION = True


@dataclass(kw_only=True)
class AttentionEntropyConfig(AuxiliaryLossConfig):
    """-Σ a log a, in nats: a positive weight sharpens attention, a negative one spreads it."""

    NEEDS_ATTENTION = True


@dataclass(kw_only=True)
class GuidedAttentionConfig(AuxiliaryLossConfig):
    """Σ a_ts (1 - exp(-(s/S - t/T)² / 2 g²)): attention far from the diagonal costs (Tachibana et al. 2018).

    width  g
    """

    NEEDS_ATTENTION = True

    width: float = 0.2

    def check(self, key: str) -> None:
        super().check(key)
        require_between(f"{key}.width", self.width, 1e-6, 1e6)  # its square must not be 0


def self_attention_loss(config: SelfAttentionLossConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    weights, target, source = _weights(batch, output)
    if config.over is Over.keys:
        # weights of padding are zero: without the mask each would cost 1
        return ((weights.sum(2) - 1).square() * target).sum()
    has_labels = target.sum(1, keepdim=True).clamp(max=1)  # a row without labels has no target token to attend
    return ((weights.sum(1) - 1).square() * source * has_labels).sum()


def attention_weighted_cross_entropy(
    config: AttentionWeightedConfig, model: Seq2Seq, batch: Batch, output: Output
) -> Tensor:
    weights, target, _ = _weights(batch, output)
    # detached: else attention to other tokens would lower the loss of a bad prediction
    shares = received_shares(weights.detach(), target)
    return label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=0.0, shares=shares)[0]


def received_shares(weights: Tensor, target: Tensor) -> Tensor:
    """w (B, T) of weights (B, T, S): Σ_s a_ts Σ_t' a_t's, scaled to sum to each sentence's number of target tokens."""
    # a product with a vector, never the (T, T) matrix of target tokens
    received = (weights @ weights.sum(1).unsqueeze(-1)).squeeze(-1) * target
    # clamped: a row without labels has received nothing
    return received * target.sum(1, keepdim=True) / received.sum(1, keepdim=True).clamp(min=1e-9)


def attention_entropy(config: AttentionEntropyConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    assert output.attention is not None
    # of each head, then averaged: heads that are sharp apart have a mean that is not
    entropies = -(output.attention.float() * output.attention.float().clamp(min=1e-9).log()).sum(-1).mean(1)
    return (entropies * (batch.labels != NO_TARGET)).sum()


def guided_attention(config: GuidedAttentionConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    weights, target, source = _weights(batch, output)
    # a row may have no labels: an epoch's last update has batches without any for the ranks that are left over
    t = batch.target.positions / target.sum(1, keepdim=True).clamp(min=1)
    s = batch.source.positions / source.sum(1, keepdim=True).clamp(min=1)
    distance = t[:, :, None] - s[:, None]
    return (weights * (1 - torch.exp(-distance.square() / (2 * config.width**2)))).sum()


def _weights(batch: Batch, output: Output) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (B, T, S), zero for padding, and masks of the real target and source tokens, (B, T) and (B, S)."""
    assert output.attention is not None, "config.model.has_attention says that there are weights"
    assert batch.source.mask is not None
    target, source = (batch.labels != NO_TARGET).float(), batch.source.mask.float()
    return output.attention.float().mean(1) * target[:, :, None] * source[:, None], target, source
