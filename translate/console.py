"""Output for people: log, progress displays and notes on stderr; tables as aligned text and as Markdown.

Columns of tables are aligned by display width: a Chinese character counts two, a combining mark none (tabulate with
wcwidth).
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from tabulate import tabulate
from tqdm import tqdm

from translate.errors import show_controls, show_unprintable
from translate.streams import UnbrokenStream

logger = logging.getLogger("translate")
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"  # of log lines
_TERMINAL_SECONDS = 0.2
_PLAIN_SECONDS = 30.0
_COUNT = "{n:,.0f}{unit} · {rate_noinv_fmt}"
_COUNT_OF_TOTAL = "{n:,.0f} of {total:,}{unit} ({percentage:.0f}%) · {rate_noinv_fmt} · {remaining} left"
tqdm.monitor_interval = 0  # without its watching thread: decoding forks, which threads do not survive


class Progress:
    """Number of units done, their rate and the time left: a bar on a terminal, elsewhere a plain line every 30 s.

    unit   what is counted, such as "lines"
    total  how many there are; None: unknown
    """

    def __init__(self, unit: str, *, total: int | None = None, stream: TextIO | None = None):
        self._stream = UnbrokenStream(sys.stderr if stream is None else stream)
        self._unit = unit
        self._meter: dict[str, Any] = {"total": total, "unit": f" {unit}"}
        self._format = _COUNT if total is None else _COUNT_OF_TOTAL
        bar_format = self._format if total is None else f"{{bar:20}} {self._format}"
        self._bar = _bar(self._stream, enabled=self._stream.isatty(), bar_format=bar_format, **self._meter)
        self._start = self._shown = time.monotonic()
        self._initial = 0

    def begin_at(self, initial: int) -> None:
        """Leave units that were done before out of the rate."""
        self._initial = self._bar.initial = initial

    def show(self, done: float) -> None:
        """Show that this much is done, unless the display changed a moment ago."""
        now = time.monotonic()
        # a log file needs fewer lines than a terminal can show
        if now - self._shown < (_PLAIN_SECONDS if self._bar.disable else _TERMINAL_SECONDS):
            return
        self._shown = now
        if self._bar.disable:
            elapsed = now - self._start
            text = tqdm.format_meter(
                done, elapsed=elapsed, initial=self._initial, bar_format=self._format, **self._meter
            )
            self._stream.write(f"{text}\n")
        else:
            self._bar.n = done
            self._bar.refresh()

    def finish(self, done: int) -> None:
        """Replace the display by a last line, which stays; done: all units, with those done before."""
        self._bar.clear()
        self._bar.close()
        seconds = time.monotonic() - self._start
        count = done - self._initial
        rate = count / max(seconds, 1e-9)
        noun = self._unit.removesuffix("s") if count == 1 else self._unit
        self._stream.write(f"{count:,} {noun} in {tqdm.format_interval(seconds)} ({rate:,.1f} {self._unit}/s)\n")


class ProgressLine:
    """One line about the state of a run, rewritten in place on a terminal; elsewhere a line of the log."""

    def __init__(self, *, silent: bool = False) -> None:
        stream = UnbrokenStream(sys.stderr)
        self._on_terminal = stream.isatty() and not silent
        self._bar = _bar(stream, enabled=self._on_terminal, bar_format="{desc}")

    def show(self, text: str) -> None:
        """Show the state of the run, also in the log file."""
        self._rewrite(text)
        logger.log(logging.DEBUG if self._on_terminal else logging.INFO, text)

    def busy(self, task: str, share: float) -> None:
        """Show the share of a task that is done between two updates, on a terminal only."""
        self._rewrite(f"{task} {share:.0%}")

    def clear(self) -> None:
        self._rewrite("")

    def _rewrite(self, text: str) -> None:
        if self._on_terminal:
            self._bar.set_description_str(text)


def _bar(stream: UnbrokenStream, *, enabled: bool, **settings: Any) -> tqdm:
    """A display of tqdm's that shows nothing before its first refresh and disappears when it is closed."""
    # a terminal may report a size of 0, as under `docker run -t`; tqdm would then show nothing
    size = shutil.get_terminal_size()
    return tqdm(
        file=stream, disable=not enabled, leave=False, delay=1, ncols=size.columns, nrows=size.lines, **settings
    )


def print_notes(note: str = "", *, warning: str = "") -> None:
    """Print a note and a warning on stderr, each unless it is ""."""
    stream = UnbrokenStream(sys.stderr)
    if note:
        stream.write(f"{show_controls(note)}\n")
    if warning:
        stream.write(f"warning: {show_controls(warning)}\n")


class _Formatter(logging.Formatter):
    """Spells out control characters: log lines quote names and text from files."""

    def format(self, record: logging.LogRecord) -> str:
        return show_controls(super().format(record))


class _TerminalHandler(logging.Handler):
    """Print log lines above the progress display."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(_Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        stream = UnbrokenStream(sys.stderr)
        with tqdm.external_write_mode(file=stream, nolock=True):
            stream.write(self.format(record) + "\n")


class _LogFile(logging.FileHandler):
    """Append log lines, with times, to a file; on a full disk they are lost, with a note on the terminal."""

    _is_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        self._is_failing, was_failing = False, self._is_failing
        super().emit(record)
        if self._is_failing and not was_failing:
            print_notes(warning=f"{self.baseFilename} cannot be written: its lines are lost until there is room")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Note an error of writing; others are bugs."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
        self._is_failing = True


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


def start_log(*, path: Path | None = None, silent: bool = False) -> None:
    """Log to the terminal, and with times to a file that later sessions append to; silent: nowhere.

    Python's warnings go the same way, each once: some libraries repeat theirs at every call.
    """
    logger.setLevel(logging.CRITICAL if silent else logging.DEBUG)
    # or a handler of the root logger, which libraries install, would print each line again
    logger.propagate = False
    # a sweep starts a log for each of its runs in one process
    for before in logger.handlers:
        with suppress(OSError):  # a full disk
            before.close()
    logger.handlers = [_TerminalHandler()]
    if path is not None and not silent:
        file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
        file.setFormatter(_Formatter("%(asctime)s %(message)s", TIME_FORMAT))
        logger.addHandler(file)
    warnings_logger = logging.getLogger("py.warnings")
    warnings_logger.propagate = False
    warnings_logger.handlers, warnings_logger.filters = [*logger.handlers], [_Once()]
    warnings_logger.setLevel(logger.level)  # silent, too, on all processes but one
    logging.captureWarnings(True)


@contextmanager
def restored_log() -> Iterator[None]:
    """Context on whose exit the log goes where it went before, for callers whose process is not a command's."""
    loggers = [logger, logging.getLogger("py.warnings")]
    before = [(each.handlers, each.filters, each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.handlers = []  # a log that starts closes those that it finds
    show_warning = warnings.showwarning
    try:
        yield
    finally:
        for each, (handlers, filters, level, propagate) in zip(loggers, before, strict=True):
            for handler in set(each.handlers) - set(handlers):
                handler.close()
            each.handlers, each.filters, each.propagate = handlers, filters, propagate
            each.setLevel(level)
        if warnings.showwarning is not show_warning:  # a host may have captured warnings itself
            logging.captureWarnings(False)


# Markup wherever it stands in a line. A backslash is easiest to read in the raw file, but Python-Markdown, which
# TensorBoard uses, takes it before fewer characters than GitHub: these are written as HTML entities.
_BACKSLASHED = "\\`*_[]|#>"
_ENTITIES = {character: f"&#{ord(character)};" for character in "<&~"}


def three_digits(number: float) -> str:
    """The number with three significant digits, and without an exponent if it is 1,000 or more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def text_table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Columns two spaces apart; those numbered in `right`, from 0, are right-aligned."""
    columns = max(map(len, rows), default=0)
    return tabulate(
        [[show_unprintable(cell) for cell in row] for row in rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if column in right else "left" for column in range(columns)],
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    """A Markdown table of plain text, which also lines up as text; escaped: the cells are Markdown already."""
    cells = [[cell if escaped else escape_markdown(cell) for cell in row] for row in (header, *rows)]
    return tabulate(cells[1:], headers=cells[0], tablefmt="github", disable_numparse=True)


def escape_markdown(text: str) -> str:
    """Text for the middle of a Markdown line, where a reader sees its characters; unprintable ones are spelled out."""
    return "".join(
        f"\\{character}" if character in _BACKSLASHED else _ENTITIES.get(character, character)
        for character in show_unprintable(text)
    )


def markdown_code(text: str) -> str:
    """Text as Markdown inline code; unprintable characters are spelled out."""
    visible = show_unprintable(text)
    # a fence longer than any row of backticks inside
    fence = "`" * (1 + max(map(len, re.findall("`+", visible)), default=0))
    padding = " " if "`" in visible or not visible.strip() else ""
    return f"{fence}{padding}{visible}{padding}{fence}"
