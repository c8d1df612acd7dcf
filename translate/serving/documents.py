"""Documents that clients send: read and written in threads, their texts translated a window at a time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath

from translate.documents import ENDINGS, read_document
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.documents.translation import translate_segments
from translate.errors import UserError, excerpt

_WINDOW = 64  # texts that wait at a time: other requests get their turn between them
_KEPT_SECONDS = 600
_KEPT_BYTES = 1 << 28

TranslateTexts = Callable[[Sequence[str]], Awaitable[list[str]]]


class DocumentCancelledError(Exception):
    """The request of a document has ended before its translation."""


def format_of(name: str) -> DocumentFormat:
    """The format of a file by the ending of its name. Raises UserError for an unknown one."""
    ending = PurePath(name).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"files of the ending {excerpt(ending) or 'none'} are not supported; {', '.join(ENDINGS)} are")
    return ENDINGS[ending]


async def translate_document(
    content: bytes, file_format: DocumentFormat, options: DocumentOptions, translate: TranslateTexts, *, characters: int
) -> bytes:
    """The document with its texts translated. Raises UserError for a damaged one, and for more characters than allowed.

    translate  of texts, in the service's event loop
    """
    loop = asyncio.get_running_loop()
    is_cancelled = False
    running: list[asyncio.Task[list[str]]] = []

    async def start(texts: list[str]) -> list[str]:
        running[:] = [asyncio.ensure_future(translate(texts))]
        return await running[0]

    def translate_texts(texts: list[str]) -> list[str]:
        found: list[str] = []
        for first in range(0, len(texts), _WINDOW):
            if is_cancelled:
                raise DocumentCancelledError
            found += asyncio.run_coroutine_threadsafe(start(texts[first : first + _WINDOW]), loop).result()
        return found

    def work() -> bytes:
        document = read_document(BytesIO(content), file_format, options)
        found = sum(len(segment.text) for segment in document.segments)
        if found > characters:
            raise UserError(f"{found:,} characters in the document; at most {characters:,}")
        return document.write(translate_segments(document.segments, translate_texts))

    try:
        return await asyncio.to_thread(work)
    finally:
        is_cancelled = True
        for task in running:
            task.cancel()


@dataclass(frozen=True)
class Download:
    """A translated document that waits for its client; the time when it is dropped."""

    name: str
    content: bytes
    until: float


class Downloads:
    """Translated documents in memory, each under a name that nobody can guess, for some minutes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Download] = OrderedDict()

    def add(self, name: str, content: bytes) -> str:
        """Keep a document; returns the name by which it is fetched."""
        token = secrets.token_urlsafe(24)
        self._kept[token] = Download(name, content, time.monotonic() + _KEPT_SECONDS)
        self._drop()
        return token

    def get(self, token: str) -> Download | None:
        """The document of this name; None if it is unknown or was dropped."""
        self._drop()
        return self._kept.get(token)

    def _drop(self) -> None:
        size = sum(len(each.content) for each in self._kept.values())
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if oldest.until > time.monotonic() and (size <= _KEPT_BYTES or len(self._kept) == 1):
                return
            size -= len(oldest.content)
            self._kept.popitem(last=False)
