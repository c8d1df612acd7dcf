"""Messages between the service and its processes: JSON objects, each behind the number of its bytes."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")
_MAX_BYTES = 1 << 28


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of a message."""
    # lone surrogates, which JSON may hold, are escaped as all other characters beyond ASCII
    content = json.dumps(message).encode()
    assert len(content) <= _MAX_BYTES, "texts are limited before they are sent"
    return _LENGTH.pack(len(content)) + content


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The streams of a process for messages; what libraries print goes to standard error, not between them."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, replies


def write(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Send a message."""
    stream.write(encode(message))
    stream.flush()


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message of a blocking stream; None at its end, also within a message."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    content = stream.read(_size(header))
    return _decode(content) if len(content) == _size(header) else None


async def receive(stream: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message of an asynchronous stream; None at its end, also within a message."""
    try:
        header = await stream.readexactly(_LENGTH.size)
        return _decode(await stream.readexactly(_size(header)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _size(header: bytes) -> int:
    (size,) = _LENGTH.unpack(header)
    assert size <= _MAX_BYTES, "the stream holds no messages"
    return int(size)


def _decode(content: bytes) -> dict[str, Any]:
    message = json.loads(content)
    assert isinstance(message, dict), "messages are objects"
    return message
