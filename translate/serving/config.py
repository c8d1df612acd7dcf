"""Limits of the service, and its choice of engines."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from translate.errors import require_at_least


class ServingEngine(StrEnum):
    """auto: CTranslate2 where it is installed and translates as the native engine does."""

    auto = "auto"
    native = "native"
    ctranslate2 = "ctranslate2"
    onnx = "onnx"


@dataclass(kw_only=True)
class LimitConfig:
    """Limits of requests. Those that are 0 are off.

    characters  of all texts of a request
    texts       of a list in one request
    n_best      translations of one text
    terms       of a request's terminology
    body        bytes of a request
    bodies      bytes of all requests at a time; more are answered by status 429
    file        bytes of a document
    file_characters   of all texts of a document
    file_memory bytes of memory of the process that reads a document
    files       documents that are translated at a time; more are answered by status 429
    seconds     time in which a request is answered, and time in which its body must arrive
    file_seconds      time in which a document is translated
    queue       lines that may wait for a model; more are answered by status 429
    connections open at a time
    connections_per_address   of them; those of proxies= do not count
    requests_per_minute, characters_per_minute   of each client: of a key, else of an address
    """

    characters: int = 20_000
    texts: int = 500
    n_best: int = 10
    terms: int = 500
    body: int = 1 << 20
    bodies: int = 1 << 28
    file: int = 10 << 20
    file_characters: int = 500_000
    file_memory: int = 1 << 29
    files: int = 4
    seconds: int = 60
    file_seconds: int = 600
    queue: int = 1000
    connections: int = 1000
    connections_per_address: int = 500
    requests_per_minute: int = 0
    characters_per_minute: int = 0

    def check(self) -> None:
        """Raise UserError for a limit out of its range."""
        for field in fields(self):
            can_be_off = field.name.endswith("_per_minute")
            require_at_least(f"limits.{field.name}", getattr(self, field.name), 0 if can_be_off else 1)
