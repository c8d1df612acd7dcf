"""Faults of the program in the log: kinds and positions, without the messages, which may quote clients' texts."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import PurePath
from types import TracebackType

logger = logging.getLogger(__name__)


def describe_fault(error: BaseException) -> str:
    """The kind of an error and the lines of code that led to it, the innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    positions = " < ".join(f"{PurePath(each.filename).name}:{each.lineno}" for each in frames)
    return f"{type(error).__name__} at {positions}"


def log_faults_briefly() -> None:
    """Have a process that ends by an error say no more than describe_fault."""

    def log(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        logger.error("a process of the service ends: %s", describe_fault(error))

    sys.excepthook = log
