"""Averages of weights: a running one while training, and one of the last checkpoints (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from translate.checkpoint import Weights, load_weights, weights_of


class RunningAverage:
    """Exponential moving average of a model's weights.

    Starts as a plain mean, so that the initial weights are soon forgotten: the rate of update n is
    max(1 - decay, 9 / (n + 9)).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights: Weights = {name: weight.clone() for name, weight in weights_of(model).items()}

    def update(self, model: nn.Module, step: int) -> None:
        rate = max(1 - self.decay, 9 / (step + 9))
        torch._foreach_lerp_(list(self.weights.values()), list(weights_of(model).values()), rate)

    def restore(self, weights: Weights) -> None:
        """Continue from an average that was saved; its weights may be in any order."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])


def average_weights(files: Sequence[Path]) -> Weights:
    """The mean of several weight files, kept in memory one at a time."""
    total: Weights = {}
    for file in files:
        for name, weight in load_weights(file).items():
            total[name] = total[name] + weight.double() if name in total else weight.double()
    return {name: (weight / len(files)).float() for name, weight in total.items()}
