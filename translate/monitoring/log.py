"""The log of a translation service: a JSON object for each request, with numbers of its lines and never their text.

{"time": ISO 8601 in UTC, "request": its id, "model": name, "version": hash of the model's files, "source": code of a
language, "target": code, "seconds": float, "status": of HTTP, "key": name of the API key or "", "lines": [features]}
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from typing import Any, NamedTuple

from translate.errors import UserError, excerpt
from translate.folders import listing
from translate.monitoring.features import LineFeatures
from translate.monitoring.json_lines import Reading, by_time, find_files, parse_time, read_objects

_NAMES = ("model", "version", "source", "target", "key")
_MOST_NAME = 200  # characters of a name or code
_MOST_SYSTEMS = 100
_MOST_STATUS = 999
_LEAST_HASH = 8  # digits by which a version is recognised


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
    """The fields of a request that are compared; its lines have no features where it failed."""

    time: datetime
    model: str = ""
    version: str = ""
    source: str = ""
    target: str = ""
    status: int = 0
    key: str = ""
    lines: Sequence[LineFeatures] = ()

    @classmethod
    def from_json(cls, value: Any) -> LogEntry:
        """Read an entry; further fields are ignored. Raises ValueError for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("lines"), list):
            raise ValueError("no entry of a request")
        names = {name: value.get(name) or "" for name in _NAMES}
        if not all(isinstance(name, str) and len(name) <= _MOST_NAME for name in names.values()):
            raise ValueError("a name is no short text")
        if (time := parse_time(value.get("time"))) is None:
            raise ValueError("no time")
        status = value.get("status")
        return cls(
            **names,
            time=time,
            status=status if type(status) is int and 0 <= status <= _MOST_STATUS else 0,
            lines=[LineFeatures.from_json(line) for line in value["lines"]],
        )


class LoggedLine(NamedTuple):
    """Features of a line, and the time and API key of its request."""

    features: LineFeatures
    time: datetime
    key: str


@dataclass
class ServiceLog:
    """The newest lines of each system in a service's log, oldest first, and counts of all that was read.

    reading   counts lines of the log that are no entries
    statuses  of requests
    ignored   lines of further systems than 100
    """

    files: list[str]
    reading: Reading = field(default_factory=Reading)
    entries: int = 0
    ignored: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    systems: dict[System, deque[LoggedLine]] = field(default_factory=dict)

    def add(self, entry: LogEntry, *, last: int) -> None:
        """Count an entry, and keep the newest `last` lines of its system."""
        self.entries += 1
        self.statuses[entry.status] += 1
        lines = [line for line in entry.lines if line.segments]  # others are blank
        system = System(entry.model, entry.version, entry.source, entry.target)
        if system not in self.systems and len(self.systems) == _MOST_SYSTEMS:
            self.ignored += len(lines)
            return
        if not lines:
            return
        kept = self.systems.setdefault(system, deque(maxlen=last))
        kept.extend(LoggedLine(line, entry.time, entry.key) for line in lines)


def read_log(patterns: Sequence[str], *, last: int, key: str = "") -> ServiceLog:
    """Read files, given by paths or patterns, in the order of the times in them.

    last  number of lines of each system to keep, the newest
    key   name of the API key whose requests count; "": all

    Files may be compressed, and end in the middle of an entry. Raises UserError for a pattern that matches no file,
    and where none of the files has an entry.
    """
    log = ServiceLog(by_time(find_files(patterns, option="log")))
    for value in (value for path in log.files for value in read_objects(path, log.reading)):
        try:
            entry = LogEntry.from_json(value)
        except ValueError:
            log.reading.skipped += 1
            continue
        if not key or entry.key == key:
            log.add(entry, last=last)
    if not log.entries:
        wanted = f" of the key {excerpt(key)}" if key else ""
        raise UserError(
            f"log={listing(log.files)}: no entry of a request{wanted} ({log.reading.skipped:,} other lines); name "
            "the log of translate.serve"
        )
    for system, lines in log.systems.items():
        # requests are logged when they end
        log.systems[system] = deque(sorted(lines, key=lambda line: line.time), maxlen=last)
    return log


def choose_lines(log: ServiceLog, *, model: str, direction: str) -> tuple[list[LoggedLine], list[str]]:
    """Lines of a log to compare with a baseline, oldest first, and notes on what is left out or doubtful.

    model      content hash of the baseline's model; "": not known
    direction  of the baseline; of a log of one direction only, the names may differ

    Raises UserError where there are none.
    """
    systems, notes = dict(log.systems), _notes(log)
    if model and (same := {each: lines for each, lines in systems.items() if _is_version(each.version, model)}):
        if others := [str(each) for each in systems if each not in same]:
            notes.append(f"lines of other models or versions are left out: {listing(others)}")
        systems = same
    elif model and any(each.version for each in systems):
        notes.append(f"the log has no line of this version of the model ({model[:12]}): others are compared")
    directions = {each.direction for each in systems}
    if direction in directions:
        systems = {each: lines for each, lines in systems.items() if each.direction == direction}
    elif len(directions) == 1:
        notes.append(f"the log's direction is {directions.pop()}, the baseline's {direction}")
    else:
        found = ", ".join(sorted(directions)) or "none"
        raise UserError(f"the log has no line of direction={direction}, but of {found}; choose one with a baseline")
    return list(merge(*systems.values(), key=lambda line: line.time)), notes


def _notes(log: ServiceLog) -> list[str]:
    """Notes on what of a log could not be read."""
    notes = list(log.reading.notes)
    if log.reading.skipped:
        notes.append(f"{log.reading.skipped:,} lines of the log are no entries of requests: left out")
    if log.ignored:
        notes.append(f"{log.ignored:,} lines are of more than {_MOST_SYSTEMS} models and directions: left out")
    return notes


def _is_version(version: str, model: str) -> bool:
    return len(version) >= _LEAST_HASH and model.startswith(version)
