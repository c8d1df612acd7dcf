"""The property that every reader has, and the loop over examples.

A reader returns, or raises a UserError or an OSError whose message names the file, is short and holds no control
character; within seconds, and without filling the memory. Any other exception is a finding.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fuzzing.memory import MemoryGrowth
from fuzzing.readers import Files, Reader
from translate.errors import UserError

SECONDS = 5.0  # of processor time for one example
MEGABYTES = 300  # by which the memory may grow while one example is read
MESSAGE = 4000  # characters
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def check(reader: Reader, files: Files, folder: Path) -> None:
    """Read the files in an empty folder. Raises AssertionError, or what the reader raises, for a finding."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    memory, started = MemoryGrowth(), time.process_time()
    try:
        reader.read(folder)
    except (UserError, OSError) as error:
        # commands print those of the system as if they were their own
        message = str(error) if isinstance(error, UserError) else str(UserError(str(error)))
        names = [*(name.rpartition("/")[2] for name in files), folder.name]
        assert any(name in message for name in names), f"no file is named: {message}"
        assert len(message) <= MESSAGE, f"{len(message)} characters"
        # control, surrogate, line separators, and what changes the direction of text
        obeyed = [c for c in message if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in DIRECTIONS]
        assert not set(obeyed) - {"\n", "\t"}, f"control characters: {message!r}"
    seconds, growth = time.process_time() - started, memory.megabytes
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert growth < MEGABYTES, f"{growth:.0f} MB"


def fuzz(reader: Reader, *, examples: int, first_seed: int, database: Path | None = None) -> None:
    """Try a number of examples, the same for the same seed. Raises the simplest finding, with its files in a note.

    database  folder of findings, which are tried first; None: none are kept
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory, _quiet():

        @seed(first_seed)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None if database is None else DirectoryBasedExampleDatabase(database),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        @given(files=reader.files)
        def property_holds(files: Files) -> None:
            _empty(folder)
            check(reader, files, folder)

        folder = Path(directory) / "input"
        folder.mkdir()
        property_holds()


def _empty(folder: Path) -> None:
    """Remove the content alone: a folder takes the file system longer to remove than most readers take to read."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _quiet() -> Iterator[Any]:
    """Without warnings and log lines, of which each example may have some."""
    logger = logging.getLogger("translate")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
