"""Files of JSON objects, one a line, that a service writes: also rotated, compressed, damaged or unfinished ones."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.parsing import parse_json
from translate.text import MAX_LINE_BYTES, open_bytes

_HEAD = 1000  # lines of a file in which its first time is looked for
_MOST_TIME = 60  # characters


@dataclass
class Reading:
    """Counts of what was read: skipped are lines that hold nothing of use; notes are on damaged files."""

    skipped: int = 0
    notes: list[str] = field(default_factory=list)


def find_files(patterns: Sequence[str], *, option: str) -> list[str]:
    """Files given by paths or patterns, each once. Raises UserError for one that matches no file."""
    found: dict[Path, str] = {}
    for pattern in patterns:
        is_path = Path(pattern).exists() or not glob.has_magic(pattern)
        matching = [pattern] if is_path else sorted(glob.glob(pattern))
        files = [name for name in matching if Path(name).is_file()]
        if not files:
            raise UserError(f"{option}={excerpt(pattern)}: no such file (from {Path.cwd()})")
        for name in files:
            found.setdefault(Path(name).resolve(), name)
    return list(found.values())


def read_objects(path: str, reading: Reading, *, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Objects of a file, of which `most` lines are read; other lines, and damage of the file, are noted."""
    try:
        with open_bytes(path) as stream:
            for raw in islice(iter(partial(stream.readline, MAX_LINE_BYTES), b""), most):
                try:
                    value = parse_json(raw.decode())
                except ValueError:
                    value = None
                if isinstance(value, dict):
                    yield value
                else:
                    reading.skipped += 1
    except UserError as error:  # a compressed file that is not complete
        reading.notes.append(f"read as far as possible: {error}")


def by_time(files: Sequence[str]) -> list[str]:
    """Files in the order of the first times in them; rotated files have names in another order."""
    return sorted(files, key=_first_time)


def _first_time(path: str) -> datetime:
    for value in read_objects(path, Reading(), most=_HEAD):
        if (time := parse_time(value.get("time"))) is not None:
            return time
    return datetime.min.replace(tzinfo=UTC)


def parse_time(text: Any) -> datetime | None:
    """A moment by ISO 8601, in UTC unless it says otherwise; None for anything else."""
    if not isinstance(text, str) or len(text) > _MOST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the second, of a moment outside of all years
        return None
