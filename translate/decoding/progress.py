"""Progress on stderr: a line that is rewritten on a terminal, elsewhere a plain line now and then; and notes."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

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
        text = f"{done:,} lines in {duration(seconds)} ({done / max(seconds, 1e-9):,.1f} lines/s)"
        _write(f"\r\x1b[K{text}\n" if self.terminal else f"{text}\n", self.stream)

    def _text(self, done: int, seconds: float) -> str:
        speed = done / max(seconds, 1e-9)
        if self.total is None:
            return f"{done:,} lines · {speed:,.1f} lines/s"
        share = done / max(self.total, 1)
        left = f" · {duration((self.total - done) / speed)} left" if done else ""
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


def duration(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
