"""Around every request: its identifier, limits of its body, security headers, one line in the log, and metrics."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from translate.serving.config import LimitConfig
from translate.serving.metrics import Metrics
from translate.serving.request_log import RequestLog, RequestRecord

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# The page's own files alone: no other hosts, no code or styles inside of it, no frames around it.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
_POLICY += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_UPLOADS = ("/translate_file",)  # which may have limits.file bytes
_OTHER = "other"  # in metrics, whose labels no client may invent


class TooLargeError(Exception):
    """A body has more bytes than allowed."""


class TooSlowError(Exception):
    """A body has not arrived in time."""


class Guard:
    """ASGI middleware around the application; a request's record is its state.record.

    routes  paths that metrics tell apart
    """

    def __init__(
        self, app: Application, *, limits: LimitConfig, metrics: Metrics, log: RequestLog, routes: frozenset[str]
    ) -> None:
        self._app, self._limits, self._metrics, self._log, self._routes = app, limits, metrics, log, routes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else _OTHER
        record = RequestRecord(request=secrets.token_hex(8), route=route)
        scope.setdefault("state", {})["record"] = record
        status = 499  # the client has left before it had an answer

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                ours = {**HEADERS, "x-request-id": record.request}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in given),
                ]
            await send(message)

        limit = self._limits.file + self._limits.body if route in _UPLOADS else self._limits.body
        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, _limited(receive, limit, self._limits.seconds), send_with_headers)
            finally:
                self._count(record, status)

    def _count(self, record: RequestRecord, status: int) -> None:
        self._metrics.requests.labels(record.route, str(status)).inc()
        self._metrics.seconds.labels(record.route).observe(record.seconds)
        self._metrics.characters.inc(record.characters)
        self._log.write(record, status)


def _limited(receive: Receive, limit: int, seconds: float) -> Receive:
    """A receive channel whose body has at most `limit` bytes and arrives in time."""
    received = 0
    deadline: float | None = None
    is_whole = False

    async def receive_limited() -> Message:
        nonlocal received, deadline, is_whole
        if is_whole:  # what follows is the end of the connection
            return await receive()
        deadline = deadline or asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise TooSlowError from None
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLargeError
        is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_limited
