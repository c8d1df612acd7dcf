"""Output for the person at the terminal: the log, progress displays, notes and durations."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO

logger = logging.getLogger("translate")

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"  # of log lines
_TERMINAL_SECONDS = 0.2
_PLAIN_SECONDS = 30.0


class Progress:
    """Shows the number of lines done, their speed and, when their number is known, the time left."""

    def __init__(self, stream: TextIO, *, total: int | None = None):
        self.stream = stream
        self.total = total
        self.terminal = stream.isatty()
        self.start = self.shown = time.monotonic()

    def show(self, done: float) -> None:
        """Show the state of things, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self.shown < (_TERMINAL_SECONDS if self.terminal else _PLAIN_SECONDS):
            return
        self.shown = now
        text = self._text(int(done), now - self.start)
        _write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n", self.stream)

    def finish(self, done: int) -> None:
        """The last line, which stays."""
        seconds = time.monotonic() - self.start
        text = f"{done:,} lines in {format_duration(seconds)} ({done / max(seconds, 1e-9):,.1f} lines/s)"
        _write(f"\r\x1b[K{text}\n" if self.terminal else f"{text}\n", self.stream)

    def _text(self, done: int, seconds: float) -> str:
        speed = done / max(seconds, 1e-9)
        if self.total is None:
            return f"{done:,} lines · {speed:,.1f} lines/s"
        share = done / max(self.total, 1)
        left = f" · {format_duration((self.total - done) / speed)} left" if done else ""
        return f"{done:,} of {self.total:,} lines ({share:.0%}) · {speed:,.1f} lines/s{left}"


def print_notes(note: str = "", *, warning: str = "") -> None:
    """Print a note and a warning on stderr, each unless it is ""."""
    if note:
        _write(f"{note}\n", sys.stderr)
    if warning:
        _write(f"warning: {warning}\n", sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # nobody reads it any more: the work goes on, and neither later lines nor Python's own flush at exit fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class ProgressLine:
    """One line about the run, rewritten in place on a terminal; elsewhere a line now and then."""

    def __init__(self, *, silent: bool = False) -> None:
        self.is_terminal = sys.stderr.isatty() and not silent
        self.shown = False

    def show(self, text: str) -> None:
        """Show the state of the run, also in the log file."""
        if self.is_terminal:
            self._rewrite(text)
            logger.debug(text)
        else:
            logger.info(text)

    def busy(self, what: str, share: float) -> None:
        """Show work between updates, on a terminal only."""
        if self.is_terminal:
            self._rewrite(f"{what} {share:.0%}")

    def clear(self) -> None:
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.shown = False

    def _rewrite(self, text: str) -> None:
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()
        self.shown = True


def format_duration(seconds: float) -> str:
    """Hours, minutes and seconds as 0:07, 12:34 or 1:02:03."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class _TerminalHandler(logging.Handler):
    """Log lines that do not run into the progress line."""

    def __init__(self, line: ProgressLine):
        super().__init__(logging.INFO)
        self.line = line
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.line.clear()
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


class _Once(logging.Filter):
    """Passes each warning of a library once, as one line."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        # FILE:LINE: CATEGORY: MESSAGE, then the line of code
        warning = record.getMessage().strip().split("\n")[0]
        if warning in self.seen:
            return False
        self.seen.add(warning)
        record.msg, record.args = f"warning: {warning}", ()
        return True


def start_log(line: ProgressLine, *, path: Path | None = None, silent: bool = False) -> None:
    """Log to the terminal, and with times to a file that later sessions append to; silent: nowhere.

    Python's warnings go the same way, each once: some libraries repeat theirs at every call.
    """
    logger.setLevel(logging.CRITICAL if silent else logging.DEBUG)
    logger.propagate = False
    for before in logger.handlers:
        before.close()
    logger.handlers = [_TerminalHandler(line)]
    if path is not None and not silent:
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", TIME_FORMAT))
        logger.addHandler(file)
    warnings_logger = logging.getLogger("py.warnings")
    warnings_logger.propagate = False
    warnings_logger.handlers, warnings_logger.filters = [*logger.handlers], [_Once()]
    warnings_logger.setLevel(logger.level)
    logging.captureWarnings(True)
