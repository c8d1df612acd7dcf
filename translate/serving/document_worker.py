"""A process that reads one document, has its texts translated by the service, and writes the document.

    {"format": …, "content": …, …}  → {"texts": […]}, {"document": …} or {"error": …}
    {"translations": […]}           → the same

A document is bytes from anyone: the process has bounds of memory and time, and reads no other file. Started by
documents.py.
"""

from __future__ import annotations

import base64
import os
import resource
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

from translate.documents import read_document
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.documents.translation import translate_segments
from translate.errors import UserError
from translate.serving import messages
from translate.serving.documents import require_characters
from translate.serving.faults import log_faults_briefly

_NICENESS = 10  # models come first
_WINDOW = 64  # texts that wait at a time: other requests get their turn between them


def translate(request: Mapping[str, Any], requests: BinaryIO, replies: BinaryIO) -> bytes:
    """The document of a request with its texts translated. Raises UserError, MemoryError."""

    def translate_texts(texts: list[str]) -> list[str]:
        found: list[str] = []
        for first in range(0, len(texts), _WINDOW):
            messages.write(replies, {"texts": texts[first : first + _WINDOW]})
            reply = messages.read(requests)
            if reply is None:  # the service has ended
                raise SystemExit
            found += reply["translations"]
        return found

    options = DocumentOptions(**request["options"])
    document = read_document(BytesIO(base64.b64decode(request["content"])), DocumentFormat(request["format"]), options)
    require_characters(document.segments, request["characters"])
    return document.write(translate_segments(document.segments, translate_texts))


def main() -> None:
    log_faults_briefly()
    requests, replies = messages.standard_streams()
    request = messages.read(requests)
    if request is None:
        return
    os.nice(_NICENESS)
    memory, seconds = request["memory"], request["seconds"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        reply = {"document": base64.b64encode(translate(request, requests, replies)).decode()}
    except MemoryError:
        reply = {"error": f"the document needs more than {memory >> 20:,} MiB of memory: divide it"}
    except UserError as error:
        reply = {"error": str(error)}
    messages.write(replies, reply)


if __name__ == "__main__":
    main()
