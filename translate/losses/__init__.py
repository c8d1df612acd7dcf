"""Losses: sums over target tokens, in nats, divided only in training/step.py."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from translate.losses.attention import (
    AttentionEntropyConfig,
    AttentionWeightedConfig,
    GuidedAttentionConfig,
    SelfAttentionLossConfig,
    attention_entropy,
    attention_weighted_cross_entropy,
    guided_attention,
    self_attention_loss,
)
from translate.losses.auxiliary import AuxiliaryLossConfig
from translate.losses.consistency import AdversarialConfig, RDropConfig, SimCutConfig, adversarial, r_drop, sim_cut
from translate.losses.cross_entropy import label_smoothed_cross_entropy

# name -> (configuration, implementation); the contract is in losses/auxiliary.py
AUXILIARY_LOSSES: dict[str, tuple[type[AuxiliaryLossConfig], Callable[..., Tensor]]] = {
    "self_attention_loss": (SelfAttentionLossConfig, self_attention_loss),
    "attention_weighted_cross_entropy": (AttentionWeightedConfig, attention_weighted_cross_entropy),
    "attention_entropy": (AttentionEntropyConfig, attention_entropy),
    "guided_attention": (GuidedAttentionConfig, guided_attention),
    "r_drop": (RDropConfig, r_drop),
    "sim_cut": (SimCutConfig, sim_cut),
    "adversarial": (AdversarialConfig, adversarial),
}

__all__ = ["AUXILIARY_LOSSES", "AuxiliaryLossConfig", "label_smoothed_cross_entropy"]
