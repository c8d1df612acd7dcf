"""Optimizers, learning-rate schedules, and the running average of weights.

AdamW in one fused kernel (Loshchilov and Hutter 2019), alone or beside Muon (Jordan et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from translate.checkpoint import Weights, weights_of
from translate.decoding.config import length_limits
from translate.decoding.search.base import sentences_in_memory
from translate.errors import UserError, require_at_least, require_between, require_share
from translate.memory import require_memory
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer_training import MAX_VOCAB_SIZE

if TYPE_CHECKING:
    from translate.training.config import TrainConfig


class OptimizerName(StrEnum):
    adamw = "adamw"
    muon = "muon"


@dataclass(kw_only=True)
class OptimizerConfig:
    """Settings of the optimizer.

    name           muon: matrices between the embeddings and the output get orthogonal updates, all else AdamW's
    learning_rate  the peak, which the schedule scales
    momentum       of Muon
    weight_decay   of matrices; biases and norms are left alone
    clip_norm      largest norm of all gradients together; 0: any
    """

    name: OptimizerName = OptimizerName.adamw
    learning_rate: float = 1e-3
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = 1e-9
    momentum: float = 0.95
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def check(self) -> None:
        for key in ("learning_rate", "weight_decay", "clip_norm"):
            require_at_least(f"optimizer.{key}", getattr(self, key), 0)
        require_between("optimizer.epsilon", self.epsilon, 1e-30, 1.0)  # below, fp32 would round it to 0
        require_share("optimizer.momentum", self.momentum)
        if len(self.betas) != 2:
            raise UserError(f"optimizer.betas ({self.betas}) must be two numbers")
        for beta in self.betas:
            require_share("optimizer.betas", beta)


def check_memory(config: TrainConfig, memory: int) -> None:
    """Raise UserError, with the figures, for a new model or a beam that needs more than `memory` bytes (0: unknown)."""
    if not config.adapt.begins_anew:  # its model exists
        return
    source_size, target_size = (min(size, MAX_VOCAB_SIZE) for size in config.tokenizer.sizes)
    # on meta a model has shapes alone, whatever its size
    with torch.device("meta"):
        model = build_model(config.model, Vocabularies(source_size, target_size, shared=config.tokenizer.shared))
    count = sum(weight.numel() for weight in model.parameters())
    # fp32: weights, gradients, at least one moment of the optimizer, and the running average
    copies = 3 + (config.optimizer.name is OptimizerName.adamw) + (config.averaging.ema_decay > 0)
    length = length_limits([config.model.max_length], config.search, config.model.max_length)[0]
    cached = model.cached_per_token * length
    sentences_in_memory(config.search, memory // 2, vocabulary_size=target_size, cached=cached)
    options = [f"model.{name}={getattr(config.model, name)}" for name in (*config.model.SIZES, *config.model.COUNTS)]
    options.append(f"tokenizer.vocab_size={config.tokenizer.vocab_size}")
    require_memory(
        4 * copies * count,
        memory,
        purpose=f"training a model of {count:,} weights, with gradients, optimizer and average,",
        remedy=f"lower one of {', '.join(options)}",
    )


def make_optimizer(model: Seq2Seq, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimizer that skips a step by itself where its found_inf is 1, so that the CPU need not wait for the GPU."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name is OptimizerName.adamw:
        return _adamw(trained, config)
    hidden = list(_hidden_matrices(model))
    chosen = {id(parameter) for parameter in hidden}  # by identity: tensors compare elementwise
    others = [parameter for parameter in trained if id(parameter) not in chosen]
    muon = torch.optim.Muon(
        hidden,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",  # updates as large as AdamW's: one learning rate and decay for both
    )
    return MuonAndAdamW(muon, _adamw(others, config))


def _adamw(parameters: list[nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [x for x in parameters if x.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [x for x in parameters if x.dim() < 2], "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    # fused: one kernel for all parameters, and the only variant that skips a step where found_inf is 1
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, beta2), eps=config.epsilon, fused=True)


def _hidden_matrices(model: Seq2Seq) -> Iterator[nn.Parameter]:
    """Matrices from hidden states to hidden states; rows of embeddings and of the output stand for tokens instead."""
    edges = (model.source_embedding, model.target_embedding, model.projection)
    tokens = {id(parameter) for module in edges for parameter in module.parameters()}
    return (x for x in model.parameters() if x.requires_grad and x.dim() == 2 and id(x) not in tokens)


class MuonAndAdamW(torch.optim.Optimizer):
    """Two optimizers of different parameters as one.

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
        # loading has given both optimizers new groups
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]


_ADAMW_STATE = {"step", "exp_avg", "exp_avg_sq"}  # of each parameter


def fits_optimizer(saved: Any, optimizer: torch.optim.Optimizer) -> bool:
    """True if a saved state has the groups of an optimizer, and values of the shapes of their parameters."""
    if isinstance(optimizer, MuonAndAdamW):
        parts = {"muon": optimizer.muon, "adamw": optimizer.adamw}
        return isinstance(saved, dict) and all(fits_optimizer(saved.get(name), part) for name, part in parts.items())
    groups, values = (saved.get("param_groups"), saved.get("state")) if isinstance(saved, dict) else (None, None)
    if not isinstance(groups, list) or not isinstance(values, dict):
        return False
    if not all(isinstance(group, dict) and isinstance(group.get("lr"), float | int) for group in groups):
        return False
    numbers = [group["params"] for group in optimizer.state_dict()["param_groups"]]
    if [group.get("params") for group in groups] != numbers:
        return False
    parameters = dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))
    return all(
        number in parameters
        and isinstance(found, dict)
        and (found.keys() == _ADAMW_STATE or not isinstance(optimizer, torch.optim.AdamW))
        and _are_values(found.values(), parameters[number])
        for number, found in values.items()
    )


def _are_values(found: Iterable[Any], parameter: nn.Parameter) -> bool:
    """True for counts of steps, and averages of the parameter's gradients."""
    shapes = (parameter.shape, torch.Size())
    return all(isinstance(value, Tensor) and value.shape in shapes for value in found)


WARMUP_SHARE = 0.1  # of the run, at most, unless schedule.warmup_steps is set


@dataclass(kw_only=True)
class ScheduleConfig:
    """The learning rate's rise to its peak and fall after it.

    warmup_steps      updates until the peak; null: max_warmup_steps or a tenth of the run, whichever ends first
    max_warmup_steps  the longest automatic warm-up

    The two keys keep a user's choice apart from a default: files in configs/ set max_warmup_steps, which suits a model
    and its batches and is shortened in a short run; warmup_steps, wherever it is set, is followed exactly.
    """

    name: str = "inverse_sqrt"
    warmup_steps: int | None = None
    max_warmup_steps: int = 4000
    decay_share: float = 0.2  # of the run, spent going down: warmup_stable_decay only
    final_factor: float = 0.0  # what is left at the end: cosine and warmup_stable_decay

    def check(self) -> None:
        if self.name not in SCHEDULES:
            raise UserError(f"schedule.name={self.name} is none of {', '.join(SCHEDULES)}")
        for key in ("warmup_steps", "max_warmup_steps"):
            if (steps := getattr(self, key)) is not None:
                require_at_least(f"schedule.{key}", steps, 0)
        for key in ("decay_share", "final_factor"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"schedule.{key} ({getattr(self, key)}) must lie between 0 and 1")


def warmup_length(config: ScheduleConfig, *, step: int, done: float) -> float:
    """Updates of the warm-up, as seen from update `step` when the fraction `done` of the run is done.

    A run bounded by minutes does not know its number of updates: step / done is an estimate that follows its speed.
    Without a bound (done 0 throughout) only the configured numbers count.
    """
    if config.warmup_steps is not None:
        return config.warmup_steps
    if done <= 0:
        return config.max_warmup_steps
    return min(config.max_warmup_steps, WARMUP_SHARE * step / done)


def inverse_sqrt(config: ScheduleConfig, step: int, done: float) -> float:
    """√(warm-up / step), as after the warm-up of Vaswani et al. 2017.

    Times the linear warm-up of learning_rate_factor, the rate rises as √(step / warm-up), not linearly as theirs does:
    stored runs and results depend on it.
    """
    return math.sqrt(max(warmup_length(config, step=step, done=done), 1) / max(step, 1))


def cosine(config: ScheduleConfig, step: int, done: float) -> float:
    """Half a cosine over the whole run (Loshchilov and Hutter 2017)."""
    return config.final_factor + (1 - config.final_factor) * (1 + math.cos(math.pi * done)) / 2


def warmup_stable_decay(config: ScheduleConfig, step: int, done: float) -> float:
    """Flat, then linearly down over the last decay_share of the run (Hu et al. 2024); 1 is a plain linear decay."""
    left = min(1.0, (1 - done) / config.decay_share) if config.decay_share else 1.0
    return config.final_factor + (1 - config.final_factor) * left


SCHEDULES: dict[str, Callable[[ScheduleConfig, int, float], float]] = {
    "inverse_sqrt": inverse_sqrt,
    "cosine": cosine,
    "warmup_stable_decay": warmup_stable_decay,
}


def learning_rate_factor(config: ScheduleConfig, *, step: int, done: float) -> float:
    """The factor for update number `step` (from 1) when the fraction `done` of the run is done.

    A pure function of the two, so that a continued run repeats the uninterrupted one.
    """
    factor = SCHEDULES[config.name](config, step, done)
    # below the peak the schedule itself is scaled, so that both meet there without a jump
    warmup = warmup_length(config, step=step, done=done)
    return factor * min(1.0, step / warmup) if warmup else factor


class RunningAverage:
    """Exponential moving average of a model's trained weights (Polyak and Juditsky 1992).

    Starts as a plain mean, so that the initial weights are soon forgotten: the rate of update n is
    max(1 - decay, 9 / (n + 9)).
    """

    def __init__(self, model: nn.Module, decay: float):
        self._model, self._decay = model, decay
        self.weights: Weights = {name: weight.clone() for name, weight in weights_of(model).items()}

    def update(self, step: int) -> None:
        """Take in the weights that update number `step`, from 1, has made."""
        averages, currents = list(self.weights.values()), list(weights_of(self._model).values())
        # not by PyTorch's AveragedModel: it copies its count of updates to the device, and waits until that is idle
        torch._foreach_lerp_(averages, currents, max(1 - self._decay, 9 / (step + 9)))
