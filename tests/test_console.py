"""Progress displays and log lines, in files and on terminals."""

from __future__ import annotations

import io
import logging

import pytest

from translate.console import Progress, ProgressLine, logger, start_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_of(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Output for 400 and 401 of 1,200 lines after 40 s, and for all of them after 60 s."""
    clock = iter([0.0, 40.0, 40.01, 60.0])
    monkeypatch.setattr("translate.console.time.monotonic", lambda: next(clock))
    progress = Progress("lines", total=1200, stream=stream)
    progress.show(400)
    progress.show(401)
    progress.finish(1200)
    return stream.getvalue()


def test_progress_in_a_file_is_an_occasional_line(monkeypatch):
    assert progress_of(io.StringIO(), monkeypatch) == (
        "400 of 1,200 lines (33%) · 10.00 lines/s · 01:20 left\n1,200 lines in 01:00 (20.0 lines/s)\n"
    )


def test_progress_on_a_terminal_is_rewritten_and_the_last_line_kept(monkeypatch):
    shown = progress_of(Terminal(), monkeypatch).split("\r")
    assert "400 of 1,200 lines (33%)" in shown[1]
    assert "401" not in "".join(shown)
    assert not shown[-2].strip()  # cleared
    assert shown[-1] == "1,200 lines in 01:00 (20.0 lines/s)\n"


def test_log_lines_are_printed_above_the_progress_display(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    start_log()
    try:
        line = ProgressLine()
        line.show("step 1")
        logger.info("a message")
        line.clear()
    finally:
        logging.captureWarnings(False)
    shown = terminal.getvalue().split("\r")
    message = next(index for index, text in enumerate(shown) if "a message\n" in text)
    assert shown[message] == "a message\n"
    assert not shown[message - 1].strip()  # the line about the run is cleared before
    assert shown[message + 1].startswith("step 1")  # and shown again
