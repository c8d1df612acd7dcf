"""The log of requests: an object a line with times, lengths, scores and warnings, never with the text; and samples."""

from __future__ import annotations

import json
import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from translate.monitoring.redaction import redact
from translate.serving.batching import Record
from translate.serving.served_model import ServedModel

logger = logging.getLogger(__name__)


@dataclass
class RequestRecord:
    """Facts about one request, collected while it is answered.

    request  identifier, also in the header X-Request-ID
    lines    features of each line or sentence (translate/monitoring/features.py)
    texts    these lines and their translations, if the request is sampled; the log has none of them
    """

    request: str
    route: str = ""
    key: str = ""
    model: str = ""
    version: str = ""
    source: str = ""
    target: str = ""
    characters: int = 0
    is_sampled: bool = field(default=False, repr=False)
    lines: list[dict[str, Any]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list, repr=False)
    started: float = field(default_factory=time.monotonic, repr=False)

    def translated_by(self, model: ServedModel, source: str, target: str) -> None:
        """Note who translates, and between which languages."""
        self.model, self.version = model.name, model.current.hash
        self.source, self.target = source, target

    def add(self, sources: Sequence[str], records: Sequence[Record]) -> None:
        """Note the features of lines and their translations."""
        self.lines += [record["features"] for record in records]
        if self.is_sampled:
            self.texts += [(line, record["text"]) for line, record in zip(sources, records, strict=True)]

    @property
    def facts(self) -> dict[str, Any]:
        """The record without any text."""
        names = ("request", "route", "key", "model", "version", "source", "target", "characters")
        return {"time": datetime.now(UTC).isoformat(), **{name: getattr(self, name) for name in names}}

    @property
    def seconds(self) -> float:
        """Seconds since the request has begun."""
        return time.monotonic() - self.started


class RequestLog:
    """A file or stream to which each request adds a line; and a file of samples, which have texts.

    stream   None: no log
    samples  file of samples; None: no text is kept
    share    of requests that are sampled
    redacts  replace e-mail addresses and numbers in samples
    """

    def __init__(
        self, stream: TextIO | None, *, samples: TextIO | None = None, share: float = 0.0, redacts: bool = True
    ) -> None:
        self._stream = stream
        self._samples, self._share, self._redacts = samples, share, redacts
        self._has_failed = False

    def begin(self, route: str) -> RequestRecord:
        """The record of a request that has arrived."""
        is_sampled = self._samples is not None and random.random() < self._share
        return RequestRecord(request=secrets.token_hex(8), route=route, is_sampled=is_sampled)

    def write(self, record: RequestRecord, status: int) -> None:
        """Append a request that was answered."""
        seconds = round(record.seconds, 4)
        if self._stream is not None:
            self._append(self._stream, {**record.facts, "status": status, "seconds": seconds, "lines": record.lines})
        if self._samples is not None and record.texts:
            self._append(self._samples, {**record.facts, "lines": self._sampled(record)})

    def _sampled(self, record: RequestRecord) -> list[dict[str, Any]]:
        pairs = [redact(*pair) if self._redacts else pair for pair in record.texts]
        return [
            {"text": text, "translation": translation, "features": features}
            for (text, translation), features in zip(pairs, record.lines, strict=True)
        ]

    def _append(self, stream: TextIO, value: dict[str, Any]) -> None:
        """Append a line; where that fails, as on a full disk, requests are answered without."""
        try:
            stream.write(json.dumps(value) + "\n")
            stream.flush()
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:  # once, not with each request
                logger.error("the log of requests cannot be written: %s", error.strerror)
            self._has_failed = True
