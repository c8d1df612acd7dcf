"""When a run ends: its own bounds, and signals from outside."""

from __future__ import annotations

import signal
from types import FrameType

from translate.training.settings import RunConfig
from translate.training.state import Progress

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def share_done(run: RunConfig, progress: Progress) -> float:
    """How much of the run is over, 0 to 1, by whichever bound comes first; 0 when patience alone ends it."""
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


def reason_to_stop(run: RunConfig, progress: Progress) -> str:
    """Which bound has been reached, in words; empty while there is none."""
    if run.max_steps and progress.step >= run.max_steps:
        return f"run.max_steps={run.max_steps}"
    if run.max_epochs and progress.epochs >= run.max_epochs:
        return f"run.max_epochs={run.max_epochs:g}"
    if run.max_minutes and progress.seconds >= 60 * run.max_minutes:
        return f"run.max_minutes={run.max_minutes:g}"
    if run.patience and progress.stale >= run.patience:
        return f"run.patience={run.patience}: no better validation since step {progress.best_step:,}"
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
