"""AdamW in one fused kernel (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(kw_only=True)
class OptimizerConfig:
    learning_rate: float = 1e-3  # the peak; the schedule scales it
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = 1e-9
    weight_decay: float = 0.01  # of matrices; biases and norms are left alone
    clip_norm: float = 1.0  # of all gradients together; 0 switches it off


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), eps=config.epsilon, fused=True)
