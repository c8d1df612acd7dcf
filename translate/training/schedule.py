"""Learning-rate schedules: a warm-up, then a shape. Each gives a factor of the peak rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from translate.errors import UserError


@dataclass(kw_only=True)
class ScheduleConfig:
    name: str = "inverse_sqrt"
    warmup_steps: int = 4000
    decay_share: float = 0.2  # of the run, spent going down: warmup_stable_decay only
    final_factor: float = 0.0  # what is left at the end: cosine and warmup_stable_decay


def inverse_sqrt(config: ScheduleConfig, step: int, progress: float) -> float:
    """√(warm-up / step) (Vaswani et al. 2017)."""
    return math.sqrt(max(config.warmup_steps, 1) / max(step, 1))


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
    """The factor for update number `step` (from 1) of a run of which the share `progress` (0 to 1) is over."""
    factor = SCHEDULES[config.name](config, step, progress)
    return factor * min(1.0, step / config.warmup_steps) if config.warmup_steps else factor


def check_schedule(config: ScheduleConfig) -> None:
    """UserError for a schedule that does not exist or makes no sense."""
    if config.name not in SCHEDULES:
        raise UserError(f"schedule.name={config.name} is none of {', '.join(SCHEDULES)}")
    if config.warmup_steps < 0:
        raise UserError(f"schedule.warmup_steps ({config.warmup_steps}) must not be negative")
    for key in ("decay_share", "final_factor"):
        if not 0 <= getattr(config, key) <= 1:
            raise UserError(f"schedule.{key} ({getattr(config, key)}) must lie between 0 and 1")
