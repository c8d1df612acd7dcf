"""Everything with which a run resumes exactly: weights, optimizer, average, progress."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import Weights, copy_of, set_weights, weights_of
from translate.data.loader import Update
from translate.training.batch_memory import random_state, set_random_state
from translate.training.optimizer import RunningAverage
from translate.training.parallel import ParallelModel
from translate.training.progress import RunProgress, is_better, is_gain
from translate.training.step import StepResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state after one update, on the CPU.

    training  states of the optimizer, of all processes ("random": generators, sizes of batches that do not fit into
              memory) and, in fp16, of the loss scale
    """

    weights: Weights
    average: Weights | None
    training: dict[str, Any]
    progress: RunProgress


class TrainState:
    """Exactly what a checkpoint holds. Progress is written by the methods here, its clock by stopping.stop_reason.

    counted        step of the last update whose result is known
    learning_rate  of the last update before the restored state; None: nothing was restored
    """

    def __init__(self, model: ParallelModel, optimizer: torch.optim.Optimizer, *, ema_decay: float = 0.0):
        self.model, self.optimizer = model, optimizer
        self.average = RunningAverage(model.module, ema_decay) if ema_decay else None
        self.progress = RunProgress()
        self.counted = 0
        self.learning_rate: float | None = None

    @property
    def step(self) -> int:
        return self.progress.step

    @property
    def weights(self) -> Weights:
        """The weights that are validated and saved as a model: the running average if there is one."""
        return self.average.weights if self.average is not None else weights_of(self.model.module)

    def advance(self, update: Update, *, target_tokens: int) -> None:
        """Count an update that has been started, and take its weights into the average."""
        self.progress.step += 1
        self.progress.position, self.progress.epochs = update.after, update.epochs
        self.progress.target_tokens += target_tokens
        if self.average is not None:
            self.average.update(self.step)

    def count_result(self, result: StepResult, *, far_loss: float = math.inf) -> None:
        """Count an update as made or skipped, see RunProgress.count."""
        self.counted = result.step
        self.progress.count(result, far_loss=far_loss)

    def record_validation(self, metric: str, value: float, loss: float, *, min_gain: float = 0.0) -> bool:
        """Note a validation of the current weights; True if they are the best so far.

        min_gain  a validation that is better by less does not count for patience
        """
        progress = self.progress
        progress.validated = self.step
        better = is_better(metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
        before = progress.best if progress.gain is None else progress.gain
        # small gains add up: the next one counts from the last that was large enough
        gained = better and is_gain(metric, value, before, at_least=min_gain)
        progress.stale = 0 if gained else progress.stale + 1
        if better:
            self.record_best(value, loss, step=self.step)
        progress.gain = value if gained else before
        return better

    def record_best(self, value: float | None, loss: float | None, *, step: int) -> None:
        """Note the score of the model in best/; None: there is none."""
        self.progress.best, self.progress.best_loss, self.progress.best_step = value, loss, step
        self.progress.gain = None

    def adopt_settings(self, changed: Collection[str], *, reordered: bool) -> None:
        """Let recovery begin anew with settings that have changed; changed: their keys; reordered: batches differ."""
        progress = self.progress
        progress.roll_backs_in_a_row, progress.recent = 0, []
        # a rate that was set after a divergence is meant as it stands
        if "optimizer.learning_rate" in changed:
            progress.rate_factor = 1.0
        if reordered:
            self.model.memory.too_large = []
            self.begin_next_epoch()  # the position counts batches of the former plan

    def begin_next_epoch(self) -> None:
        """Leave the rest of an epoch whose batches have changed."""
        if (position := self.progress.position).batches:
            self.progress.position = replace(position, epoch=position.epoch + 1, batches=0)
            logger.info(f"batches have changed: epoch {position.epoch + 1} begins")

    @property
    def is_sound(self) -> bool:
        """True if training can continue from here: the last update was not skipped, and all numbers are finite."""
        if self.progress.last_success < self.step:
            return False
        average = self.average.weights if self.average is not None else {}
        return all(map(is_finite, (weights_of(self.model.module), average, self.optimizer.state_dict())))

    def of_process(self) -> dict[str, Any]:
        """The part of the state that differs between processes."""
        return {**random_state(self.model.device), "too_large": [list(shape) for shape in self.model.memory.too_large]}

    def snapshot(self, processes: list[dict[str, Any]]) -> Snapshot:
        """A copy on the CPU; processes: of_process() of each."""
        scale = self.model.loss_scale
        return Snapshot(
            copy_of(weights_of(self.model.module)),
            copy_of(self.average.weights) if self.average is not None else None,
            {
                "optimizer": copy_of(self.optimizer.state_dict()),
                "random": processes,
                **({"loss_scale": scale.state_dict()} if scale is not None else {}),
            },
            copy.deepcopy(self.progress),  # it is written while the run continues
        )

    def restore(self, saved: Snapshot, *, rank: int) -> None:
        """Continue from a snapshot, with the optimizer's settings as they are now."""
        set_weights(self.model.module, saved.weights)
        if self.average is not None:
            averages = saved.weights if saved.average is None else saved.average  # averaging was off until now
            for name, weight in self.average.weights.items():
                weight.copy_(averages[name])
        settings = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}  # the schedule sets the rate
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(saved.training["optimizer"])  # with its settings, undone below
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        for group, now in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(now)
        if self.model.loss_scale is not None and "loss_scale" in saved.training:
            self.model.loss_scale.load_state_dict(saved.training["loss_scale"])
        # of more processes than before, further ones keep their seeds: another's state would repeat its dropout masks
        if rank < len(processes := saved.training["random"]):
            set_random_state(processes[rank], self.model.device)
            # absent in states of older versions
            self.model.memory.too_large = [tuple(shape) for shape in processes[rank].get("too_large", [])]
        self.progress = saved.progress
        self.progress.session.setdefault("processes", len(processes))  # older versions saved no session


def is_finite(state: Any) -> bool:
    """True if all numbers are finite in a tensor, or in nested dictionaries and lists of them."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    if isinstance(state, dict):
        return all(map(is_finite, state.values()))
    return not isinstance(state, list) or all(map(is_finite, state))
