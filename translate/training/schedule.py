"""Learning-rate schedules: a warm-up, then a shape. Each gives a factor of the peak rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from translate.errors import UserError

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


def warmup_length(config: ScheduleConfig, *, step: int, progress: float) -> float:
    """Updates of the warm-up, as seen from update `step` of a run of which the share `progress` is over.

    A run bounded by minutes does not know its number of updates: step / progress is an estimate that follows its speed.
    Without a bound (progress 0 throughout) only the configured numbers count.
    """
    if config.warmup_steps is not None:
        return config.warmup_steps
    if progress <= 0:
        return config.max_warmup_steps
    return min(config.max_warmup_steps, WARMUP_SHARE * step / progress)


def inverse_sqrt(config: ScheduleConfig, step: int, progress: float) -> float:
    """√(warm-up / step) (Vaswani et al. 2017)."""
    return math.sqrt(max(warmup_length(config, step=step, progress=progress), 1) / max(step, 1))


def cosine(config: ScheduleConfig, step: int, progress: float) -> float:
    """Half a cosine over the whole run (Loshchilov and Hutter 2017)."""
    return config.final_factor + (1 - config.final_factor) * (1 + math.cos(math.pi * progress)) / 2


def warmup_stable_decay(config: ScheduleConfig, step: int, progress: float) -> float:
    """Flat, then linearly down over the last decay_share of the run (Hu et al. 2024); 1 is a plain linear decay."""
    left = min(1.0, (1 - progress) / config.decay_share) if config.decay_share else 1.0
    return config.final_factor + (1 - config.final_factor) * left


SCHEDULES: dict[str, Callable[[ScheduleConfig, int, float], float]] = {
    "inverse_sqrt": inverse_sqrt,
    "cosine": cosine,
    "warmup_stable_decay": warmup_stable_decay,
}


def learning_rate_factor(config: ScheduleConfig, *, step: int, progress: float) -> float:
    """The factor for update number `step` (from 1) of a run of which the share `progress` (0 to 1) is over.

    A pure function of the two, so that a continued run repeats the uninterrupted one.
    """
    factor = SCHEDULES[config.name](config, step, progress)
    warmup = warmup_length(config, step=step, progress=progress)
    return factor * min(1.0, step / warmup) if warmup else factor


def check_schedule(config: ScheduleConfig) -> None:
    """UserError for a schedule that does not exist or makes no sense."""
    if config.name not in SCHEDULES:
        raise UserError(f"schedule.name={config.name} is none of {', '.join(SCHEDULES)}")
    for key in ("warmup_steps", "max_warmup_steps"):
        if (steps := getattr(config, key)) is not None and steps < 0:
            raise UserError(f"schedule.{key} ({steps}) must not be negative")
    for key in ("decay_share", "final_factor"):
        if not 0 <= getattr(config, key) <= 1:
            raise UserError(f"schedule.{key} ({getattr(config, key)}) must lie between 0 and 1")
