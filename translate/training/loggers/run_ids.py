"""Identifiers of a run on the servers of loggers, by which later sessions continue its curves."""

from __future__ import annotations

import secrets
from pathlib import Path

from translate.errors import UserError
from translate.files import read_json, write_json

_FILE = "loggers.json"  # in the run's folder


def run_id(folder: Path, name: str, *, made: str = "") -> str:
    """The identifier that a logger has for the run; a new one is stored.

    made  the identifier of a new run, where the server has chosen it; "": a random one
    """
    ids = stored_ids(folder)
    if name not in ids or made:
        ids[name] = made or secrets.token_hex(4)
        write_json(folder / _FILE, ids)
    return ids[name]


def stored_ids(folder: Path) -> dict[str, str]:
    """Identifiers by the logger's name; none in a new run, and where the file is damaged."""
    try:
        content = read_json(folder / _FILE)
    except (FileNotFoundError, UserError):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, str)}
