"""All loggers of a session as one logger; an error of a library or a server is a warning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from translate.explanation import Picture
from translate.training.loggers import LOGGERS
from translate.training.loggers.logger import Logger, LoggerConfig, LoggerError, RunDescription, Status, Value

logger = logging.getLogger(__name__)


class CombinedLogger:
    """Passes everything on to each of the configured loggers.

    An error of one is a warning, repeated only after a call that has succeeded; one that cannot be opened is left out.
    """

    def __init__(self, configs: Mapping[str, LoggerConfig], run: RunDescription):
        self._loggers, self._failing = dict[str, Logger](), set[str]()
        for name, config in configs.items():
            with self._warning_of(name, "this session is not logged there"):
                self._loggers[name] = LOGGERS[name][1](config, run)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._each(lambda one: one.scalars(values, step))

    def text(self, tag: str, markdown: str, step: int) -> None:
        self._each(lambda one: one.text(tag, markdown, step))

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self._each(lambda one: one.picture(tag, picture, step))

    def rewind(self, step: int) -> None:
        self._each(lambda one: one.rewind(step))

    def results(self, values: Mapping[str, Value]) -> None:
        self._each(lambda one: one.results(values))

    def flush(self) -> None:
        self._each(lambda one: one.flush())

    def close(self, status: Status) -> None:
        self._each(lambda one: one.close(status))
        self._loggers = {}

    def _each(self, call: Callable[[Logger], None]) -> None:
        for name, one in self._loggers.items():
            with self._warning_of(name, "training continues without it"):
                call(one)
                self._failing.discard(name)

    # LoggerError alone: any other error is one of this program, and ends the training with its traceback
    @contextmanager
    def _warning_of(self, name: str, consequence: str) -> Iterator[None]:
        try:
            yield
        except LoggerError as error:
            if name not in self._failing:
                logger.warning(f"logger={name}: {error}; {consequence}")
            self._failing.add(name)
