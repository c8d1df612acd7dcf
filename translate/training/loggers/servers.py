"""Parts that loggers with a library or server of their own share: errors, and identifiers of runs.

A session that continues a run finds the run's identifier on a server in loggers.json, and continues its curves there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from translate.errors import UserError, excerpt
from translate.files import read_json, write_json
from translate.training.loggers.logger import LoggerError

_FILE = "loggers.json"  # in the run's folder


@contextmanager
def library_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Convert these errors, and those of files and connections, to a LoggerError of one line."""
    caught: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except caught as error:
        raise LoggerError(excerpt(str(error).strip().partition("\n")[0] or type(error).__name__)) from error


def run_id(folder: Path, name: str) -> str:
    """The identifier that a logger has for the run; a new one is random, and stored."""
    return stored_ids(folder).get(name) or store_id(folder, name, secrets.token_hex(4))


def store_id(folder: Path, name: str, identifier: str) -> str:
    """Store the identifier that a logger has for the run, and return it."""
    write_json(folder / _FILE, {**stored_ids(folder), name: identifier})
    return identifier


def stored_ids(folder: Path) -> dict[str, str]:
    """Identifiers by the logger's name; none in a new run, and where the file is damaged."""
    try:
        content = read_json(folder / _FILE)
    except (FileNotFoundError, UserError):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, str)}
