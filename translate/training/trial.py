"""One trial of a hyperparameter sweep: its varied options, its score, and pruning."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from translate.files import ProcessLock
from translate.text import write_lines
from translate.training.config import LOSS, is_better

Row = dict[str, str]


class Pruner(Protocol):
    """Judge of running trials, such as optuna.Trial."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...


@dataclass(eq=False)
class Trial:
    """One run of a sweep, in sweep/trial-NUMBER.

    varied  option -> value, of the options that the sweep varies
    pruner  decides which trials end early; None: none does
    pruned  True once the trial was ended early
    loss    of the best validation, which decides between equal values of the metric
    """

    sweep: Path
    number: int
    metric: str
    varied: Mapping[str, str]
    pruner: Pruner | None = None
    pruned: bool = field(default=False, init=False)
    loss: float | None = field(default=None, init=False)

    @property
    def folder(self) -> Path:
        return self.sweep / f"trial-{self.number:03}"

    def describe(self) -> str:
        """Line for the log at the start of the trial."""
        return f"trial {self.number}: {_settings(self.varied)}"

    def report(self, step: int, value: float, *, at_end: bool) -> None:
        """Tell the pruner the metric of a validation; a trial at its end is not ended early."""
        if self.pruner is not None:
            self.pruner.report(value, step)
            self.pruned = self.pruner.should_prune() and not at_end

    def record(self, value: float) -> str:
        """Write the trial into sweep/trials.tsv, with those of all sessions; returns a line that names the best so far.

        value  the metric; NaN where the run has failed
        """
        outcome = "failed" if math.isnan(value) else "ended early" if self.pruned else "over"
        scores = {LOSS: "" if self.loss is None else f"{self.loss:.4f}"} | {self.metric: f"{value:.4f}"}
        own = {"trial": str(self.number), **scores, "outcome": outcome, **self.varied}
        with ProcessLock(self.sweep / ".trials.lock"):  # several processes may share a study
            rows = [row for row in read_trials(self.sweep) if row["trial"] != own["trial"]] + [own]
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
    """A number of the table; None where there is none, as in tables of older versions and for runs that failed."""
    text = row.get(column) or "nan"
    return None if text == "nan" else float(text)


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def read_trials(sweep: Path) -> list[Row]:
    """Rows of trials.tsv; none before the first trial has ended."""
    path = sweep / "trials.tsv"
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
