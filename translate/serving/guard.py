"""Around every request: its identifier, limits of its body, security headers, one line in the log, and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from translate.serving.batching import OverloadedError
from translate.serving.config import LimitConfig
from translate.serving.faults import describe_fault
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
_RETRY_AFTER = 5  # seconds, if bodies fill the memory that they may have
logger = logging.getLogger(__name__)


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
        self._bytes = 0  # of the bodies of all requests

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else _OTHER
        record = self._log.begin(route)
        scope.setdefault("state", {})["record"] = record
        status = 499  # the client has left before it had an answer
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                status, is_started = message["status"], True
                given = {name for name, _ in message["headers"]}
                ours = {**HEADERS, "x-request-id": record.request}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in given),
                ]
            await send(message)

        limit = self._limits.file + self._limits.body if route in _UPLOADS else self._limits.body
        body = _Body(receive, limit, self._limits.seconds, self._hold)
        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, body.receive, send_with_headers)
            except Exception as error:  # a fault of the service: its log has it, without the client's text
                logger.error("request %s: %s", record.request, describe_fault(error))
                if is_started:
                    raise ConnectionAbortedError("an answer could not be finished") from None
                await JSONResponse({"error": "internal error"}, 500)(scope, receive, send_with_headers)
            finally:
                self._bytes -= body.received
                self._count(record, status)

    def _hold(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.bodies:
            raise OverloadedError(_RETRY_AFTER, what="requests")

    def _count(self, record: RequestRecord, status: int) -> None:
        self._metrics.requests.labels(record.route, str(status)).inc()
        self._metrics.seconds.labels(record.route).observe(record.seconds)
        self._metrics.characters.inc(record.characters)
        self._log.write(record, status)


class _Body:
    """The body of a request, which has at most `limit` bytes and arrives in time.

    hold      called with the bytes of each part
    received  bytes so far
    """

    def __init__(self, receive: Receive, limit: int, seconds: float, hold: Callable[[int], None]) -> None:
        self._receive, self._limit, self._seconds, self._hold = receive, limit, seconds, hold
        self._deadline: float | None = None
        self._is_whole = False
        self.received = 0

    async def receive(self) -> Message:
        """The next part, then the end of the connection. Raises TooSlowError, TooLargeError, OverloadedError."""
        if self._is_whole:
            return await self._receive()
        self._deadline = self._deadline or asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise TooSlowError from None
        size = len(message.get("body", b""))
        self.received += size
        self._hold(size)
        if self.received > self._limit:
            raise TooLargeError
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message
