"""The log of a translation service: a JSON object for each request, with numbers of its lines and never their text.

{"time": ISO 8601 in UTC, "request": its id, "model": name, "version": hash of the model's files, "source": code of a
language, "target": code, "seconds": float, "status": of HTTP, "key": name of the API key or "", "lines": [features]}
"""

from __future__ import annotations

import glob
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from translate.decoding.records import to_json
from translate.errors import UserError, excerpt
from translate.monitoring.features import LineFeatures
from translate.parsing import parse_json
from translate.text import MAX_LINE_BYTES, open_bytes

_MOST_NAME = 200  # characters of a name or code
_MOST_SYSTEMS = 100
_HEAD = 1000  # lines of a file in which its first entry is looked for
_NO_STATUS = 0


class System(NamedTuple):
    """A version of a model that translates in one direction; `name` is the service's name of the model."""

    name: str
    version: str
    source: str
    target: str

    @property
    def direction(self) -> str:
        return direction_of(self.source, self.target)

    def __str__(self) -> str:
        return f"{self.name or 'no name'} {self.version[:12] or 'no version'} {self.direction}"


def direction_of(source: str, target: str) -> str:
    """Name of a direction, such as en-de."""
    return f"{source or '?'}-{target or '?'}"


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """A request; its lines have no features where it failed."""

    time: str
    request: str = ""
    model: str = ""
    version: str = ""
    source: str = ""
    target: str = ""
    seconds: float = 0.0
    status: int = _NO_STATUS
    key: str = ""
    lines: Sequence[LineFeatures] = ()

    def to_line(self) -> str:
        """The entry as one line of the log, without its end."""
        return to_json(asdict(self) | {"lines": [line.to_json() for line in self.lines]})

    @classmethod
    def from_json(cls, value: Any) -> LogEntry:
        """Read an entry; further fields are ignored. Raises ValueError for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("lines"), list):
            raise ValueError("no entry of a request")
        names = {name: value.get(name, "") for name in ("request", "model", "version", "source", "target", "key")}
        if not all(isinstance(name, str) and len(name) <= _MOST_NAME for name in names.values()):
            raise ValueError("a name is no short text")
        parse_time(value.get("time"))
        status = value.get("status", _NO_STATUS)
        return cls(
            **names,
            time=value["time"],
            status=status if type(status) is int and 0 <= status < 1000 else _NO_STATUS,
            lines=[LineFeatures.from_json(line) for line in value["lines"]],
        )


def parse_time(text: Any) -> datetime:
    """A moment by ISO 8601, in UTC unless it says otherwise. Raises ValueError for anything else."""
    if not isinstance(text, str) or len(text) > _MOST_NAME:
        raise ValueError("no time")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class LoggedLine(NamedTuple):
    """Features of a line, and the time and API key of its request."""

    features: LineFeatures
    time: datetime
    key: str


@dataclass
class ServiceLog:
    """The newest lines of each system in a service's log, oldest first, and counts of all that was read.

    skipped   lines of the log that are no entries
    statuses  of requests
    blank     lines without text, which are left out
    """

    files: list[str]
    entries: int = 0
    skipped: int = 0
    blank: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    systems: dict[System, deque[LoggedLine]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, entry: LogEntry, *, last: int) -> None:
        """Count an entry, and keep the newest `last` lines of its system."""
        self.entries += 1
        self.statuses[entry.status] += 1
        lines = [line for line in entry.lines if line.segments]
        self.blank += len(entry.lines) - len(lines)
        system = System(entry.model, entry.version, entry.source, entry.target)
        if not lines or (system not in self.systems and len(self.systems) == _MOST_SYSTEMS):
            return
        time = parse_time(entry.time)
        kept = self.systems.setdefault(system, deque(maxlen=last))
        kept.extend(LoggedLine(line, time, entry.key) for line in lines)


def read_log(words: Sequence[str], *, last: int, key: str = "") -> ServiceLog:
    """Read the files that words name, also by patterns, in the order of the times in them.

    last  number of lines of each system to keep, the newest
    key   name of the API key whose requests count; "": all

    Files may be compressed, and end in the middle of an entry. Raises UserError for a word that names no file, and
    where none of the files has an entry.
    """
    log = ServiceLog(find_files(words, option="log"))
    for path in _by_time(log.files):
        for entry in _entries(path, log):
            if not key or entry.key == key:
                log.add(entry, last=last)
    if not log.entries:
        wanted = f" of the key {excerpt(key)}" if key else ""
        raise UserError(
            f"log={', '.join(log.files[:3])}: no entry of a request{wanted} ({log.skipped:,} other lines); name "
            "the log of translate.serve"
        )
    if log.skipped:
        log.notes.append(f"{log.skipped:,} lines of the log are no entries of requests: left out")
    for system, lines in log.systems.items():
        lines_in_order = sorted(lines, key=lambda line: line.time)  # requests are logged when they end
        log.systems[system] = deque(lines_in_order, maxlen=last)
    return log


def find_files(words: Sequence[str], *, option: str) -> list[str]:
    """Files that words name, each once. Raises UserError for a word that names none."""
    found: dict[Path, str] = {}
    for word in words:
        matching = sorted(glob.glob(word)) if glob.has_magic(word) and not Path(word).exists() else [word]
        files = [name for name in matching if Path(name).is_file()]
        if not files:
            raise UserError(f"{option}={excerpt(word)}: no such file (from {Path.cwd()})")
        for name in files:
            found.setdefault(Path(name).resolve(), name)
    return list(found.values())


def _by_time(files: Sequence[str]) -> list[str]:
    """Files in the order of their first entries: names of rotated files have another order."""
    first = {path: next(islice(_entries(path, ServiceLog([]), most=_HEAD), 1), None) for path in files}
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(files, key=lambda path: parse_time(entry.time) if (entry := first[path]) else oldest)


def _entries(path: str, log: ServiceLog, *, most: int | None = None) -> Iterator[LogEntry]:
    """Entries of a file, of which `most` lines are read; other lines and damage are noted in the log."""
    try:
        with open_bytes(path) as stream:
            for raw in islice(iter(partial(stream.readline, MAX_LINE_BYTES), b""), most):
                try:
                    yield LogEntry.from_json(parse_json(raw.decode()))
                except ValueError:
                    log.skipped += 1
    except UserError as error:  # a compressed file that is not complete
        log.notes.append(f"read as far as possible: {error}")
