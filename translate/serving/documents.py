"""Documents that clients send: read and written apart from requests, their texts translated a window at a time.

Each file is read in a process of its own (document_worker.py), since a small one may unfold to more than the memory
holds. Pieces of HTML are short and read in linear time, so a thread is enough.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import PurePath
from typing import Any

from translate.documents import ENDINGS, read_document
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.documents.inline import Segment
from translate.documents.translation import SegmentTranslation
from translate.errors import UserError, excerpt
from translate.serving.batching import OverloadedError
from translate.serving.child_process import ChildProcess, ProcessEndedError
from translate.serving.config import LimitConfig

_WORKER = "translate.serving.document_worker"
_DECOMPRESSED = 10  # times limits.file
_RETRY_AFTER = 10  # seconds, if as many documents as allowed are being translated

TranslateTexts = Callable[[Sequence[str]], Awaitable[list[str]]]


class StoppingError(Exception):
    """The service is about to end and takes no more documents."""

    def __init__(self) -> None:
        super().__init__("the service is about to stop: send the document again in a minute")


def format_of(name: str) -> DocumentFormat:
    """The format of a file by the ending of its name. Raises UserError for an unknown one."""
    ending = PurePath(name).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"files of the ending {excerpt(ending) or 'none'} are not supported; {', '.join(ENDINGS)} are")
    return ENDINGS[ending]


def require_characters(segments: Sequence[Segment], most: int) -> None:
    """Raise UserError for a document with more characters than allowed."""
    found = sum(len(segment.text) for segment in segments)
    if found > most:
        raise UserError(f"{found:,} characters in the document; at most {most:,}")


async def translate_html(text: str, options: DocumentOptions, translate: TranslateTexts, *, characters: int) -> str:
    """A piece of HTML with its texts translated. Raises UserError for more characters than allowed."""
    content = text.encode("utf-8-sig")  # the mark is stronger than an encoding that the text declares
    document = await asyncio.to_thread(read_document, BytesIO(content), DocumentFormat.html, options)
    require_characters(document.segments, characters)
    translation = SegmentTranslation(document.segments)
    again = await asyncio.to_thread(translation.find_damaged, await translate(translation.texts))
    pieces = await asyncio.to_thread(translation.finish, await translate(again))
    return (await asyncio.to_thread(document.write, pieces)).decode("utf-8-sig")


class Documents:
    """Translation of files, of which so many are read at a time as limits.files allows.

    num_running  files that are being translated
    is_stopping  further ones are refused
    """

    def __init__(self, limits: LimitConfig) -> None:
        self._limits = limits
        self.num_running = 0
        self.is_stopping = False

    async def translate(
        self, content: bytes, file_format: DocumentFormat, options: DocumentOptions, translate: TranslateTexts
    ) -> bytes:
        """A file with its texts translated.

        Raises OverloadedError and StoppingError; UserError for a damaged file, and for one that is larger than allowed
        once it is read.
        """
        if self.is_stopping:
            raise StoppingError
        if self.num_running >= self._limits.files:
            raise OverloadedError(_RETRY_AFTER, what="documents")
        message: dict[str, Any] = {
            "content": base64.b64encode(content).decode(),
            "format": file_format.value,
            "options": asdict(replace(options, max_bytes=_DECOMPRESSED * self._limits.file)),
            "characters": self._limits.file_characters,
            "memory": self._limits.file_memory,
            "seconds": self._limits.seconds,
        }
        self.num_running += 1
        try:
            return await _ask_worker(message, translate)
        finally:
            self.num_running -= 1


async def _ask_worker(message: dict[str, Any], translate: TranslateTexts) -> bytes:
    """The document that a new process writes for a message, with the texts that it asks for (document_worker.py)."""
    process = await ChildProcess.start(_WORKER)
    try:
        while "document" not in (reply := await process.ask(message)):
            if "error" in reply:
                raise UserError(reply["error"])
            message = {"translations": await translate(reply["texts"])}
        return base64.b64decode(reply["document"])
    except ProcessEndedError:
        raise UserError("the document cannot be read within the memory and time of the service: divide it") from None
    finally:
        await process.kill()
