"""Progress of a run between its bounds, the learning rate there, and the end of the run, by a bound or a signal."""

from __future__ import annotations

import math
import signal
from types import FrameType

from translate.training.config import RunConfig, TrainConfig
from translate.training.optimizer import learning_rate_factor
from translate.training.state import RunProgress

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def share_done(run: RunConfig, progress: RunProgress) -> float:
    """Share of the run that is over, 0 to 1, by the bound that is reached first; 0 when only patience ends it."""
    shares = [
        value / bound
        for value, bound in (
            (progress.step, run.max_steps),
            (progress.epochs, run.max_epochs),
            (progress.seconds / 60, run.max_minutes),
        )
        if bound
    ]
    return min(1.0, max(shares, default=0.0))


def learning_rate(config: TrainConfig, progress: RunProgress) -> float:
    """Learning rate of the next update."""
    share = share_done(config.run, progress)
    return config.optimizer.learning_rate * learning_rate_factor(
        config.schedule, step=progress.step + 1, progress=share
    )


def expected_steps(run: RunConfig, progress: RunProgress) -> float:
    """Number of updates of the whole run, extrapolated once 5 % of it is over; infinite while it is unknown."""
    share = share_done(run, progress)
    return progress.step / share if share >= 0.05 else run.max_steps or math.inf


def reason_to_stop(run: RunConfig, progress: RunProgress) -> str:
    """Which bound has been reached, in words; empty while there is none."""
    if run.max_steps and progress.step >= run.max_steps:
        return f"run.max_steps={run.max_steps}"
    if run.max_epochs and progress.epochs >= run.max_epochs:
        return f"run.max_epochs={run.max_epochs:g}"
    if run.max_minutes and progress.seconds >= 60 * run.max_minutes:
        return f"run.max_minutes={run.max_minutes:g}"
    if run.patience and progress.stale >= run.patience:
        since = f"no better validation since step {progress.best_step:,}"
        cause = "no finite validation" if progress.best is None else since
        return f"run.patience={run.patience}: {cause}"
    return ""


class Interruption:
    """SIGTERM and SIGINT as a wish to stop after the current update; a second one ends the process at once."""

    def __init__(self) -> None:
        self.wished = False
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wished = True
        self.forget()

    def forget(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
