"""Commands run in the process of the tests: what a test of a command's words and files needs, without its start-up."""

from __future__ import annotations

import logging
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


def call_here(module: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Like small_runs.call, in this process.

    A test of signals, of pipes, of memory or of imports needs `call`; so does one whose command ends in a crash.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as given,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        given.buffer.write(stdin)
        given.seek(0)
        streams = patch.multiple(sys, stdin=given, stdout=out, stderr=err, argv=[module, *arguments])
        with streams, _logging_restored(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            code = run_main(module)
        for stream in (out, err):
            stream.flush()
            stream.seek(0)
        return subprocess.CompletedProcess([module, *arguments], code, out.buffer.read(), err.buffer.read())


def run_main(module: str) -> int:
    """Run `python -m translate.MODULE`; its exit status."""
    try:
        runpy.run_module(f"translate.{module}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Close the handlers that the command adds, which would write into its log for the rest of the tests."""
    loggers = [logging.getLogger(name) for name in ("translate", "py.warnings")]
    before = [(logger.handlers, logger.filters, logger.level, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, (handlers, filters, level, propagate) in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers, logger.filters, logger.propagate = handlers, filters, propagate
            logger.setLevel(level)
