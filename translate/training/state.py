"""Everything with which a run resumes exactly: weights, optimizer, average, progress."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import Weights, copy_of, set_weights, weights_of
from translate.data.loader import DataPosition, Update
from translate.training.config import is_better
from translate.training.optimizer import RunningAverage
from translate.training.parallel import ParallelModel
from translate.training.step import StepResult

logger = logging.getLogger(__name__)


@dataclass
class RunProgress:
    """Progress of a run.

    position      in the data, of the next update
    epochs        number of epochs that are done, with their fraction
    seconds       of training in all sessions
    last_success  step of the last update that was not skipped; loss: its mean per target token, in nats
    best          the best value of the metric so far, with the validation loss (best_loss) and the step (best_step) of
                  the same model
    stale         number of validations since then
    validated     step of the last validation; session: hardware and processes of the last update, see take_up_session
    """

    step: int = 0
    position: DataPosition = field(default_factory=DataPosition)
    epochs: float = 0.0
    seconds: float = 0.0
    target_tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    last_success: int = 0
    loss: float | None = None
    best: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0
    validated: int = 0
    session: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state after one update, on the CPU.

    training  states of the optimizer, of the random generators of all processes and, in fp16, of the loss scale
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

    def count_result(self, result: StepResult) -> None:
        """Count an update as made or skipped; one that overflowed because of fp16's loss scale is no divergence."""
        progress, self.counted = self.progress, result.step
        if result.skipped:
            progress.skipped += 1
            progress.skipped_in_a_row += result.diverged
        else:
            progress.skipped_in_a_row, progress.last_success, progress.loss = 0, result.step, result.loss

    def record_validation(self, metric: str, value: float, loss: float) -> bool:
        """Note a validation of the current weights; True if they are the best so far."""
        progress = self.progress
        progress.validated = self.step
        better = is_better(metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
        progress.stale = 0 if better else progress.stale + 1
        if better:
            self.record_best(value, loss, step=self.step)
        return better

    def record_best(self, value: float | None, loss: float | None, *, step: int) -> None:
        """Note the score of the model in best/; None: there is none."""
        self.progress.best, self.progress.best_loss, self.progress.best_step = value, loss, step

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

    def snapshot(self, random: list[dict[str, Any]]) -> Snapshot:
        """A copy on the CPU; random: states of the random generators of all processes."""
        scale = self.model.loss_scale
        return Snapshot(
            copy_of(weights_of(self.model.module)),
            copy_of(self.average.weights) if self.average is not None else None,
            {
                "optimizer": copy_of(self.optimizer.state_dict()),
                "random": random,
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
        if rank < len(random := saved.training["random"]):
            torch.set_rng_state(random[rank]["cpu"])
            if self.model.device.type == "cuda" and random[rank]["cuda"] is not None:
                torch.cuda.set_rng_state(random[rank]["cuda"], self.model.device)
        self.progress = saved.progress
        self.progress.session.setdefault("processes", len(random))  # older versions saved no session


def is_finite(state: Any) -> bool:
    """True if all numbers are finite in a tensor, or in nested dictionaries and lists of them."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    if isinstance(state, dict):
        return all(map(is_finite, state.values()))
    return not isinstance(state, list) or all(map(is_finite, state))
