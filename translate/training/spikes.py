"""Limits of the loss and of the gradient norm that ordinary updates stay below, and of a loss that has diverged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from translate.errors import require_at_least

LEAST_UPDATES = 50  # known results below which no limit is set
# standard deviations are at least as large: losses of a few hundred equal sentences hardly differ
LEAST_DEVIATION = {"loss": 0.05, "gradient_norm": 0.2}
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


@dataclass(kw_only=True)
class RecoveryConfig:
    """Reaction to divergence (training/recovery.py).

    spike_distance  an update is skipped whose loss or gradient norm is as many standard deviations of its logarithm
                    above the median of recent updates; 0: only what is not finite
    roll_backs      returns to an earlier state before the run gives up: the first takes another order of the data, the
                    others half the learning rate as well
    """

    spike_distance: float = 8.0
    roll_backs: int = 3

    def check(self) -> None:
        for key, value in vars(self).items():
            require_at_least(f"recovery.{key}", value, 0)


@dataclass(frozen=True)
class SpikeLimits:
    """Largest values with which an update is made; the loss is the mean per target token, with label smoothing."""

    loss: float = math.inf
    gradient_norm: float = math.inf


def no_limits(target_tokens: int) -> SpikeLimits:
    """Limits that no update is above."""
    return SpikeLimits()


def spike_limits(recent: list[list[float]], distance: float, target_tokens: int) -> SpikeLimits:
    """Limits of an update of so many target tokens: median and `distance` deviations of log(1 + loss) and log(norm).

    recent    see RunProgress
    distance  in standard deviations, estimated from the median absolute deviation, which spikes do not move; 0: no
              limits
    """
    if not distance or len(recent) < LEAST_UPDATES:
        return SpikeLimits()
    _, counts, losses, norms = zip(*recent, strict=True)
    # a mean over fewer tokens, as in the last update of an epoch, is noisier
    distance *= math.sqrt(max(1.0, median(counts) / max(target_tokens, 1)))
    # the exponential of 700 is the largest that a float holds
    loss = min(700.0, _bound([math.log1p(x) for x in losses], distance, LEAST_DEVIATION["loss"]))
    # a norm of 0: no parameter is trained yet, or a loss has reached its bound
    logs = [math.log(max(x, 1e-30)) for x in norms]
    norm = min(700.0, _bound(logs, distance, LEAST_DEVIATION["gradient_norm"]))
    return SpikeLimits(loss=math.expm1(loss), gradient_norm=math.exp(norm))


def far_loss(vocab_size: int) -> float:
    """Twice the cross entropy of uniform guessing: no model in training has a loss above it for long."""
    return 2 * math.log(vocab_size)


def _bound(values: list[float], distance: float, least: float) -> float:
    middle = median(values)
    deviation = MAD_TO_DEVIATION * median(abs(value - middle) for value in values)
    return middle + distance * max(deviation, least)
