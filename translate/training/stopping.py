"""Fraction of a run that is done, learning rate of the next update, and why a run stops; trials of a sweep.

A trial is one run of a hyperparameter sweep; a pruner may end it early.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import torch

from translate.distributed import World
from translate.errors import UserError
from translate.locks import ProcessLock
from translate.signals import STOP_SIGNALS, stop_signals
from translate.text import write_lines
from translate.training.config import RunConfig, TrainConfig
from translate.training.optimizer import learning_rate_factor
from translate.training.progress import RunProgress, is_better
from translate.training.state import TrainState
from translate.training.validation_config import LOSS

_AGREEMENT_SECONDS, _MOST_UPDATES = 0.25, 16


def fraction_done(run: RunConfig, progress: RunProgress) -> float:
    """Fraction of the run that is done, by the bound that is reached first; 0 when only patience ends it."""
    # the bound that ends the run decides: it is the one with the largest fraction done
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
    factor = learning_rate_factor(config.schedule, step=progress.step + 1, done=done)
    return config.optimizer.learning_rate * factor * progress.rate_factor


def set_learning_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, progress: RunProgress) -> None:
    """Give all groups of parameters the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, progress)


def expected_steps(run: RunConfig, progress: RunProgress) -> float:
    """Number of updates of the whole run, extrapolated once 5 % of it is done; infinite while it is unknown."""
    done = fraction_done(run, progress)
    return progress.step / done if done >= 0.05 else run.max_steps or math.inf


@dataclass
class StopRequests:
    """Reasons to save the state and end the run: a signal or an error of logging or validation, on any process.

    received  number of the signal; 0: none
    failed    True after an error on any process; error: that of this one
    agreed    steps since the processes have agreed, and before they do so again
    """

    received: int = 0
    failed: bool = False
    error: Exception | None = None
    agreed: range = range(0)

    @classmethod
    @contextmanager
    def noted(cls) -> Iterator[Self]:
        """Context in which a signal lets the current update end."""
        with stop_signals.deferred("saving the state after this update"):
            yield cls()

    def __bool__(self) -> bool:
        return bool(self.received) or self.failed

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Context whose error ends the run later, when the updates before it are saved."""
        try:
            yield
        except Exception as error:  # of any kind: a bug must not cost hours of training either
            self.error = self.error or error

    def agree(self, world: World, *values: float) -> list[float]:
        """Learn what other processes have noted; returns sums over the processes of further values."""
        own = [float(stop_signals.received == number) for number in STOP_SIGNALS]
        total = world.sum(torch.tensor([*own, float(self.error is not None), *values], dtype=torch.float64)).tolist()
        counts = total[: len(own)]
        self.received = next((number for number, count in zip(STOP_SIGNALS, counts, strict=True) if count), 0)
        stop_signals.received = stop_signals.received or self.received  # for the exit status of this process
        self.failed = total[len(own)] > 0
        return total[len(own) + 1 :]

    def describe(self) -> str:
        """The reason, for the log."""
        return signal.Signals(self.received).name if self.received else "an error" if self.failed else ""

    def raise_error(self) -> None:
        """Raise the error that was noted, on every process."""
        if self.error is not None:
            raise self.error
        if self.failed:
            raise UserError("another process of the run has failed; its error says why")


def stop_reason(
    run: RunConfig, state: TrainState, requests: StopRequests, trial: Trial | None, world: World, *, started: float
) -> str:
    """The reason to stop here, the same on every process; "" to continue. Also records the main process's elapsed time.

    started  when the run would have begun if all of its sessions had been one, by the monotonic clock
    """
    # clocks differ, and a signal may reach one process only: all must stop after the same update, or the others would
    # wait for its gradients
    if state.step not in requests.agreed:
        seconds = time.monotonic() - started if world.is_main else 0.0
        [state.progress.seconds] = requests.agree(world, seconds)
        requests.agreed = range(state.step, state.step + updates_between_agreements(state.progress, world))
    # a signal first: an interrupted run continues later, whatever bound it has reached
    if requests:
        return requests.describe()
    if trial is not None and trial.pruned:
        return "other trials were better at this step (pruning)"
    return bound_reached(run, state.progress)


def updates_between_agreements(progress: RunProgress, world: World) -> int:
    """Number of updates, the same on every process, after which several processes agree again: an exchange takes time.

    At most a quarter of a second's, so that a signal is soon obeyed.
    """
    if world.size == 1 or not progress.seconds:
        return 1
    return max(1, min(_MOST_UPDATES, int(_AGREEMENT_SECONDS * progress.step / progress.seconds)))


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
        if progress.gain is not None and progress.gain != progress.best:
            since = f"{progress.stale} validations in a row without a gain of validation.min_gain"
        cause = "no finite validation" if progress.best is None else since
        return f"run.patience={run.patience}: {cause}"
    return ""


Row = dict[str, str]
TRIALS_LOCK = ".trials.lock"  # in a sweep's folder


def trial_folder(sweep: Path, number: int) -> Path:
    return sweep / f"trial-{number:03}"


class Pruner(Protocol):
    """Judge of running trials, such as optuna.Trial."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...


@dataclass(eq=False)
class Trial:
    """One run of a sweep, in sweep/trial-NUMBER.

    varied  option -> value, of the options that the sweep varies
    pruner  decides which trials end early; None: none does
    reported  steps whose values an earlier session has reported to it
    pruned  True once the trial was ended early
    loss    of the best validation, which decides between equal values of the metric
    """

    sweep: Path
    number: int
    metric: str
    varied: Mapping[str, str]
    pruner: Pruner | None = None
    reported: Collection[int] = ()
    pruned: bool = field(default=False, init=False)
    loss: float | None = field(default=None, init=False)

    @property
    def folder(self) -> Path:
        return trial_folder(self.sweep, self.number)

    @property
    def name(self) -> str:
        """The varied settings, by the last words of their options where these differ: dropout=0.3 seed=2."""
        short = [option.rpartition(".")[2] for option in self.varied]
        names = short if len(set(short)) == len(short) else list(self.varied)
        return " ".join(f"{name}={_short(value)}" for name, value in zip(names, self.varied.values(), strict=True))

    def describe(self) -> str:
        """Line for the log at the start of the trial."""
        return f"trial {self.number}: {_settings(self.varied)}"

    def report(self, step: int, value: float, *, at_end: bool) -> None:
        """Tell the pruner the metric of a validation; a trial at its end is not ended early."""
        if self.pruner is not None:
            # reported in any case, as later trials are compared with this one; a continued run repeats validations
            if step not in self.reported:
                self.pruner.report(value, step)
            self.pruned = self.pruner.should_prune() and not at_end

    def record(self, value: float) -> str:
        """Write the trial into sweep/trials.tsv, with those of all sessions; returns a line that names the best so far.

        value  the metric; NaN where the run has failed
        """
        outcome = "failed" if math.isnan(value) else "ended early" if self.pruned else "over"
        scores = {LOSS: "" if self.loss is None else f"{self.loss:.4f}"} | {self.metric: f"{value:.4f}"}
        own = {"trial": str(self.number), **scores, "outcome": outcome, **self.varied}
        with ProcessLock(self.sweep / TRIALS_LOCK):  # several processes may share a study
            # a trial that was interrupted and continued replaces its former row
            rows = [row for row in read_trials(self.sweep) if row["trial"] != own["trial"]] + [own]
            # other sessions may have varied other options: the union of all columns, in order of appearance
            columns = list(dict.fromkeys(column for row in rows for column in row))
            ordered = sorted(rows, key=lambda row: int(row["trial"]))
            table = [[row.get(column, "") for column in columns] for row in ordered]
            write_lines(self.sweep / "trials.tsv", ["\t".join(cells) for cells in [columns, *table]])
        best = self._best(rows)
        return f"trial {self.number} {outcome}, {self.metric} {value:.2f}; best of {len(rows)}: {best}"

    def _best(self, rows: list[Row]) -> str:
        best: Row | None = None
        for row in rows:
            value, loss = _number(row, self.metric), _number(row, LOSS)
            if value is not None and (
                best is None
                or is_better(self.metric, value, _number(best, self.metric), loss=loss, best_loss=_number(best, LOSS))
            ):
                best = row
        if best is None:
            return "none"
        settings = _settings({option: best.get(option, "") for option in self.varied})
        return f"trial {best['trial']}, {self.metric} {float(best[self.metric]):.2f} ({settings})"


def _settings(varied: Mapping[str, str]) -> str:
    """Options with values short enough to read: Optuna draws numbers of 17 digits."""
    return "  ".join(f"{option}={_short(value)}" for option, value in varied.items())


def _number(row: Row, column: str) -> float | None:
    """A finite number of the table; None where there is none, as in older tables and for runs that failed."""
    with suppress(KeyError, ValueError):
        return value if math.isfinite(value := float(row[column])) else None
    return None


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def read_trials(sweep: Path) -> list[Row]:
    """Rows of trials.tsv; none before the first trial has ended. Damaged ones are left out."""
    path = sweep / "trials.tsv"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    header, *table = [line.split("\t") for line in lines] or [[]]
    rows = [dict(zip(header, cells, strict=False)) for cells in table]
    # each run keeps its result: a grid that is continued lists it again
    return [row for row in rows if row.get("trial", "").isdecimal()]
