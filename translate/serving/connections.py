"""HTTP/1.1 connections that are closed when their client is too slow: sending a request's head, or reading an answer.

Uvicorn limits neither, and a client that sends a byte now and then would keep its connection for ever. The time of a
request's body is limited by guard.py, that of a translation by service.py.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from translate.serving.addresses import is_among, subscriber_of

_LEAST_RATE = 1000  # bytes a second, at which an answer is read
_FILES_OF_A_CONNECTION = 2  # its socket, and the upload that it may have on disk
_OTHER_FILES = 256  # logs, pipes to processes


class TimedConnection(H11Protocol):
    """A connection that is aborted when it has waited for its client for too long.

    seconds      from the last answer, or the beginning, to the whole head of a request; and between two looks at how
                 much of an answer the client has read
    per_address  most connections of one address that is no proxy; further ones are aborted
    proxies      addresses and networks of proxies
    """

    def __init__(
        self, *arguments: Any, seconds: float, per_address: int, proxies: Sequence[str] = (), **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._seconds = seconds
        self._per_address, self._proxies = per_address, proxies
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes when the timer was set

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; beyond twice the limit, connections do not even get status 503."""
        super().connection_made(transport)
        is_beyond = self.limit_concurrency and len(self.connections) > 2 * self.limit_concurrency
        if is_beyond or self._is_one_too_many_of_its_address():
            transport.abort()
        self._update()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        self._update()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, also if the body of this one still arrives."""
        self._update()
        super().on_response_complete()
        self._update()  # the next request may be here already

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._update()

    def resume_writing(self) -> None:
        """Continue to write."""
        super().resume_writing()
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        super().connection_lost(exc)
        self._cancel()

    def _is_one_too_many_of_its_address(self) -> bool:
        if self.client is None or len(self.connections) <= self._per_address or is_among(self.client[0], self._proxies):
            return False
        own = subscriber_of(self.client[0])
        others = (each.client for each in self.connections if isinstance(each, TimedConnection))
        return sum(other is not None and subscriber_of(other[0]) == own for other in others) > self._per_address

    def _update(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and not self.flow.write_paused:
            self._cancel()
        elif self._timer is None:  # else it runs on: a byte now and then gives no more time
            self._unsent = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        read = self._unsent - self.transport.get_write_buffer_size()
        self._timer = None
        if read < _LEAST_RATE * self._seconds:
            self.transport.abort()
        else:
            self._update()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def raise_file_limit(connections: int) -> None:
    """Raise the soft limit of open files to what so many connections need, as far as the hard limit allows.

    Without a free descriptor no process of a model could be started again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * _FILES_OF_A_CONNECTION * connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
