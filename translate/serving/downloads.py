"""Translated documents in memory until their clients fetch them."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

_KEPT_SECONDS = 600
_KEPT_BYTES = 1 << 28
_STOP_SECONDS = 30  # after its translation, for which a stop waits for a document to be fetched


@dataclass
class Download:
    """A translated document that waits for its client."""

    name: str
    content: bytes
    added: float
    is_fetched: bool = False


class Downloads:
    """Translated documents, each under an unguessable name, for ten minutes or until there are too many bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Download] = OrderedDict()

    @property
    def delays_stop(self) -> bool:
        """True if a document was translated a moment ago and its client has not fetched it yet."""
        start = time.monotonic() - _STOP_SECONDS
        return any(each.added > start and not each.is_fetched for each in self._kept.values())

    def add(self, name: str, content: bytes) -> str:
        """Keep a document; returns the name by which it is fetched."""
        token = secrets.token_urlsafe(24)
        self._kept[token] = Download(name, content, time.monotonic())
        self._drop()
        return token

    def fetch(self, token: str) -> Download | None:
        """The document of this name, also more than once; None if it is unknown or was dropped."""
        self._drop()
        if (found := self._kept.get(token)) is not None:
            found.is_fetched = True
        return found

    def _drop(self) -> None:
        start = time.monotonic() - _KEPT_SECONDS
        size = sum(len(each.content) for each in self._kept.values())
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if oldest.added > start and (size <= _KEPT_BYTES or len(self._kept) == 1):
                return
            size -= len(oldest.content)
            self._kept.popitem(last=False)
