"""Progress between the bounds of a run, the learning rate there, and the end: by a bound, a signal or divergence."""

from __future__ import annotations

import math
import signal
import time
from types import FrameType
from typing import Self

import torch

from translate.distributed import World
from translate.errors import DivergedError
from translate.folders import remove_directory
from translate.training.config import RunConfig, TrainConfig
from translate.training.optimizer import learning_rate_factor
from translate.training.run_folder import STATE_FILES, saved_states
from translate.training.state import RunProgress, StateFolder, TrainState, read_progress
from translate.training.trial import Trial

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def fraction_done(run: RunConfig, progress: RunProgress) -> float:
    """Fraction of the run that is done, by the bound that is reached first; 0 when only patience ends it."""
    fractions = [
        value / bound
        for value, bound in (
            (progress.step, run.max_steps),
            (progress.epochs, run.max_epochs),
            (progress.seconds / 60, run.max_minutes),
        )
        if bound
    ]
    return min(1.0, max(fractions, default=0.0))


def learning_rate(config: TrainConfig, progress: RunProgress) -> float:
    """Learning rate of the next update."""
    done = fraction_done(config.run, progress)
    return config.optimizer.learning_rate * learning_rate_factor(config.schedule, step=progress.step + 1, progress=done)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, progress: RunProgress) -> None:
    """Give all groups of parameters the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, progress)


def expected_steps(run: RunConfig, progress: RunProgress) -> float:
    """Number of updates of the whole run, extrapolated once 5 % of it is done; infinite while it is unknown."""
    done = fraction_done(run, progress)
    return progress.step / done if done >= 0.05 else run.max_steps or math.inf


class StopSignals:
    """Context in which SIGTERM and SIGINT ask to stop after the current update; a second one ends the process."""

    received = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        self.__exit__()


def stop_reason(
    run: RunConfig, state: TrainState, signals: StopSignals, trial: Trial | None, world: World, *, started: float
) -> str:
    """The reason to stop here, the same on every process; "" to continue. Also takes down the main process's time.

    started  when the run would have begun if all of its sessions had been one, by the monotonic clock
    """
    seconds = time.monotonic() - started if world.is_main else 0.0
    control = world.sum(torch.tensor([float(signals.received), seconds], dtype=torch.float64))
    received, state.progress.seconds = control.tolist()
    signals.received = bool(received)
    if signals.received:
        return "interrupted"
    if trial is not None and trial.pruned:
        return "other trials were better at this step (pruning)"
    return bound_reached(run, state.progress)


def bound_reached(run: RunConfig, progress: RunProgress) -> str:
    """The bound that ends the run here, in words; "" if there is none."""
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


def check_divergence(config: TrainConfig, state: TrainState, states: StateFolder) -> None:
    """Raise DivergedError after run.max_skipped diverged updates in a row, and remove the states saved since.

    The error tells how to continue from the newest state that is left.
    """
    progress, rate = state.progress, config.optimizer.learning_rate
    if progress.skipped_in_a_row < config.run.max_skipped:
        return
    states.wait()
    kept = states.world.from_main(discard_diverged(states, progress) if states.world.is_main else 0)
    outcome = f"goes on from step {kept:,}" if kept else "starts from scratch, because no state had been saved before"
    raise DivergedError(
        f"training has diverged: the loss or gradient was not finite in {progress.skipped_in_a_row} updates in a row "
        f"(run.max_skipped), the last one at step {state.counted:,}. Lower optimizer.learning_rate ({rate:g}) "
        f"or set a longer warm-up (schedule.warmup_steps): the same command with, for example, "
        f"optimizer.learning_rate={rate / 4:g} {outcome} in run.dir={config.run.dir}"
    )


def discard_diverged(states: StateFolder, progress: RunProgress) -> int:
    """Remove the states that were saved after training had diverged; the step of the newest left, 0 for none.

    A state goes if no update has succeeded since, or if its training loss was above twice the cross entropy of
    uniform guessing, ln vocab_size.
    """
    most = 2 * math.log(states.vocab_size)
    for folder in reversed(saved_states(states.path)):
        saved = read_progress(folder)
        if saved.step < progress.last_success and not (saved.loss or 0.0) > most:
            return saved.step
        remove_directory(folder, owned=STATE_FILES)
    return 0


def require_best(config: TrainConfig, state: TrainState, states: StateFolder) -> None:
    """Raise DivergedError where no validation gave a finite score, so that there is no model to deliver."""
    if state.progress.best is not None:
        return
    metric, rate = config.validation.metric, config.optimizer.learning_rate
    from_scratch = f"the same command starts from scratch in run.dir={config.run.dir}, because no state was saved"
    raise DivergedError(
        f"training has diverged: no validation gave a finite {metric} and loss, so that there is no best model. Lower "
        f"optimizer.learning_rate ({rate:g}) or set a longer warm-up (schedule.warmup_steps); "
        + ("choose another run.dir" if states.newest else from_scratch)
    )
