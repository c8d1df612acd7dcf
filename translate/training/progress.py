"""Progress of a run: its position, its best model, and what is known of its last updates; comparison of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from translate.data.loader import DataPosition
from translate.evaluation.metrics import METRICS
from translate.evaluation.scores import MetricName
from translate.training.step import StepResult
from translate.training.validation_config import LOSS

RECENT_UPDATES = 100  # of which loss and gradient norm are kept, to tell what is unusual


@dataclass
class RunProgress:
    """Progress of a run.

    position      in the data, of the next update
    epochs        number of epochs that are done, with their fraction
    seconds       of training in all sessions
    last_success  step of the last update that was not skipped; loss: its mean per target token, in nats
    best          the best value of the metric so far, with the validation loss (best_loss) and the step (best_step) of
                  the same model
    best_models   (value, validation loss, step) of the models in best_models/, the best first
    gain          value of the last validation that was better than the one before by validation.min_gain at least;
                  None: the best value; stale: number of validations since then
    validated     step of the last validation; session: hardware and processes of the last update, see take_up_session
    divided       number of updates with batches that did not fit into memory whole
    spikes        number of skipped updates whose loss or gradient norm was finite, but far above the recent ones
    far_in_a_row  number of updates since a loss that was not far above that of uniform guessing
    recent        (step, target tokens, loss, gradient norm) of the last updates that were not skipped
    kind          phase of the data and number of auxiliary losses of the last update; kind_since: the first such step
    roll_backs    number of returns to an earlier state; roll_backs_in_a_row: without many sound updates between them,
                  the last one from diverged_step (training/recovery.py)
    rate_factor   of the learning rate, halved by recovery
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
    best_models: list[list[float]] = field(default_factory=list)
    gain: float | None = None
    stale: int = 0
    validated: int = 0
    session: dict[str, Any] = field(default_factory=dict)
    divided: int = 0
    spikes: int = 0
    far_in_a_row: int = 0
    recent: list[list[float]] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    kind_since: int = 0
    roll_backs: int = 0
    roll_backs_in_a_row: int = 0
    diverged_step: int = 0
    rate_factor: float = 1.0

    def count(self, result: StepResult, *, far_loss: float = math.inf) -> None:
        """Count an update as made or skipped; one that overflowed because of fp16's loss scale is no divergence.

        far_loss  a loss above it is far above that of uniform guessing
        """
        self.divided += result.divided > 0
        if result.skipped:
            self.skipped += 1
            self.spikes += result.spiked
            self.skipped_in_a_row += result.diverged
            return
        self.skipped_in_a_row, self.last_success, self.loss = 0, result.step, result.loss
        self.far_in_a_row = self.far_in_a_row + 1 if result.loss > far_loss else 0
        values: list[float] = [result.step, result.target_tokens, result.loss, result.gradient_norm]
        # a new list: a snapshot of the state may hold the old one
        self.recent = [*self.recent, values][-RECENT_UPDATES:]

    def counts(self) -> dict[str, float]:
        """Epochs, and numbers of updates that were not made as planned unless there are none, by tag."""
        counts = {
            "train/skipped_updates": self.skipped,
            "train/spikes": self.spikes,
            "train/divided_updates": self.divided,
            "train/roll_backs": self.roll_backs,
        }
        return {"train/epoch": self.epochs, **{tag: count for tag, count in counts.items() if count}}

    def disturbances(self) -> str:
        """Numbers of updates that were not made as planned, in brackets; "" if there were none."""
        counts = {
            "updates skipped": self.skipped,
            "updates with batches in halves": self.divided,
            "returns to an earlier state": self.roll_backs,
        }
        named = "; ".join(f"{name}: {count:,}" for name, count in counts.items() if count)
        return f" ({named})" if named else ""


def is_minimised(metric: str) -> bool:
    """True for the loss and for error rates."""
    return metric == LOSS or not METRICS[MetricName(metric)].higher_is_better


def is_better(
    metric: str, value: float, best: float | None, *, loss: float | None = None, best_loss: float | None = None
) -> bool:
    """True if a validation beats the best so far; None: there is none yet.

    Of two equal values of the metric the one with the lower loss is better. What is not finite is never better.
    """
    # NaN compares as false with everything: it would never be replaced as the best
    if not math.isfinite(value) or (loss is not None and not math.isfinite(loss)):
        return False
    if best is None or not math.isfinite(best):
        return True
    # equal scores are common early in a run: BLEU of a poor model is 0
    if value == best and loss is not None:
        return best_loss is None or not loss >= best_loss  # so written that a loss beats NaN
    return value < best if metric == LOSS else METRICS[MetricName(metric)].is_better(value, best)


def is_gain(metric: str, value: float, before: float | None, *, at_least: float) -> bool:
    """True if a validation that is better than `before` is better by so much; None: there is none before."""
    if before is None or not math.isfinite(before):
        return True
    # of equal values of the metric the lower loss has decided: a gain only where any gain counts
    return not at_least or (before - value if is_minimised(metric) else value - before) >= at_least
