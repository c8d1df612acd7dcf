"""The log of requests: an object a line with times, lengths, scores and warnings, never with the text."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from translate.serving.batching import Record
from translate.serving.served_model import ServedModel


@dataclass
class RequestRecord:
    """Facts about one request, collected while it is answered.

    request  identifier, also in the header X-Request-ID
    lines    lengths, score and warnings of each line or sentence
    """

    request: str
    route: str = ""
    key: str = ""
    model: str = ""
    version: str = ""
    source: str = ""
    target: str = ""
    characters: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def translated_by(self, model: ServedModel, source: str, target: str) -> None:
        """Note who translates, and between which languages."""
        self.model, self.version = model.name, model.current.version
        self.source, self.target = source, target

    def add(self, sources: Sequence[str], records: Sequence[Record]) -> None:
        """Note the numbers of lines and their translations."""
        for record in records:
            names = ("source_tokens", "target_tokens", "score", "flags")
            self.lines.append({name: record[name] for name in names})

    def to_json(self, status: int) -> str:
        facts = {name: value for name, value in vars(self).items() if name != "started"}
        seconds = round(time.monotonic() - self.started, 4)
        return json.dumps({"time": datetime.now(UTC).isoformat(), "status": status, "seconds": seconds, **facts})


class RequestLog:
    """A file or stream to which each request adds a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, record: RequestRecord, status: int) -> None:
        """Append a request that was answered."""
        self._stream.write(record.to_json(status) + "\n")
        self._stream.flush()
