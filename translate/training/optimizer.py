"""AdamW in one fused kernel (Loshchilov and Hutter 2019), alone or beside Muon (Jordan et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from translate.models.seq2seq import Seq2Seq


class OptimizerName(StrEnum):
    adamw = "adamw"
    muon = "muon"


@dataclass(kw_only=True)
class OptimizerConfig:
    """name  muon: matrices between the embeddings and the output get orthogonal updates, all else AdamW's"""

    name: OptimizerName = OptimizerName.adamw
    learning_rate: float = 1e-3  # the peak; the schedule scales it
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = 1e-9
    momentum: float = 0.95  # Muon's
    weight_decay: float = 0.01  # of matrices; biases and norms are left alone
    clip_norm: float = 1.0  # of all gradients together; 0 switches it off


def make_optimizer(model: Seq2Seq, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimiser that skips a step by itself when its found_inf is 1, so that nobody waits for a GPU to know."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name is OptimizerName.adamw:
        return _adamw(trained, config)
    hidden = list(_hidden_matrices(model))
    chosen = {id(parameter) for parameter in hidden}
    others = [parameter for parameter in trained if id(parameter) not in chosen]
    muon = torch.optim.Muon(
        hidden,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",  # updates as large as AdamW's: one learning rate and decay for both
    )
    return MuonAndAdamW(muon, _adamw(others, config))


def _adamw(parameters: list[torch.nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [x for x in parameters if x.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [x for x in parameters if x.dim() < 2], "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), eps=config.epsilon, fused=True)


def _hidden_matrices(model: Seq2Seq) -> Iterator[torch.nn.Parameter]:
    """What maps hidden states to hidden states: rows of embeddings and of the output stand for tokens instead."""
    edges = (model.source_embedding, model.target_embedding, model.projection)
    tokens = {id(parameter) for module in edges for parameter in module.parameters()}
    return (x for x in model.parameters() if x.requires_grad and x.dim() == 2 and id(x) not in tokens)


class MuonAndAdamW(torch.optim.Optimizer):
    """Two optimisers of different parameters as one.

    found_inf  where it is 1 neither takes a step; Muon has no such test of its own, so that the CPU waits for it
    """

    found_inf: Tensor | None = None

    def __init__(self, muon: torch.optim.Muon, adamw: torch.optim.AdamW):
        self.muon, self.adamw = muon, adamw
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        # the very groups, so that a learning rate that is set here is theirs
        self.param_groups = [*muon.param_groups, *adamw.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        if self.found_inf is None or not bool(self.found_inf):
            self.muon.step()
            self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]
