"""The contract of a logger: a destination of a run's curves, texts and pictures.

A logger is a class that is made from its configuration and a RunDescription, when the first update is about to start.
Tags have the form GROUP/NAME, such as loss/train. Errors of its library or server are raised as LoggerError: training
then continues with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from translate.explanation import Picture

Value = str | float | bool
INTERVAL = "valid_interval"  # group of the tags of the bounds of a score's confidence interval


class Status(StrEnum):
    """State of a run; interrupted: a signal has ended the session, and the same command continues the run."""

    running = "running"
    finished = "finished"
    interrupted = "interrupted"
    failed = "failed"


class LoggerError(Exception):
    """A library or server does not accept what a logger sends to it: a warning, since curves can be spared."""


@dataclass(kw_only=True)
class LoggerConfig:
    """Settings of a logger; each has its own."""

    def check(self, key: str) -> None:
        """Raise UserError for invalid values and missing packages; `key` is the option that they belong to."""


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """A run, for loggers.

    name      tells the runs of a folder apart: that of the run's folder, or the varied settings of a trial
    group     name of the sweep's folder, for a trial; "" otherwise
    folder    of the run
    settings  options that may affect the result
    step      last update before this session; 0: a new run
    scores    names of the metrics of a validation, the most important one first
    """

    name: str
    group: str
    folder: Path
    settings: Mapping[str, Value]
    step: int
    scores: list[str] = field(default_factory=list)


class Logger(Protocol):
    """A destination of curves, texts and pictures; used by the main process only."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves."""

    def text(self, tag: str, markdown: str, step: int) -> None: ...

    def picture(self, tag: str, picture: Picture, step: int) -> None: ...

    def rewind(self, step: int) -> None:
        """Note that training has returned to this step: later points come again."""

    def results(self, values: Mapping[str, Value]) -> None:
        """Add constants of the run that are known at its end, such as scores of the delivered model."""

    def flush(self) -> None:
        """Make visible to a viewer what was added so far."""

    def close(self, status: Status) -> None:
        """End the session of the run; nothing is added any more."""
