"""A service of fake models behind a real socket, for clients that speak no proper HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fastapi import FastAPI

from translate.serving.server import Server, listen


@contextmanager
def live(app: FastAPI, *, proxies: Sequence[str] = ()) -> Iterator[LiveService]:
    """Serve an application in a thread, as translate.serve does."""
    listener = listen("127.0.0.1", 0)
    server = Server(app, app.state.service, proxies=proxies)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield LiveService(listener.getsockname()[1], server, thread)
    finally:
        server.should_exit = True
        thread.join()


class LiveService:
    """A running service, and raw connections to it."""

    def __init__(self, port: int, server: Server, thread: threading.Thread) -> None:
        self.port, self._server, self._thread = port, server, thread

    def stop(self) -> None:
        """Begin to stop, as at a signal."""
        self._server.should_exit = True

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._server.server_state.connections)

    def connect(self) -> socket.socket:
        """A connection of a client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def answer(self, request: bytes) -> bytes:
        """All that the service sends to a client that sends this, until it closes the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            return _rest(connection)

    def status(self, request: bytes) -> bytes:
        """The status of the answer; none if the connection is closed at once."""
        return b"".join(self.answer(request).split()[1:2])

    def seconds_until_closed(self, begin: bytes, drip: bytes, *, most: float) -> float:
        """Time until the service closes a connection that sends a beginning, then a few bytes now and then."""
        start = time.monotonic()
        with self.connect() as connection:
            connection.sendall(begin)
            connection.settimeout(0.1)
            while (passed := time.monotonic() - start) < most:
                try:
                    if not connection.recv(1 << 16):
                        break
                    connection.sendall(drip)
                except TimeoutError:
                    connection.sendall(drip)
                except ConnectionError:
                    break
        return passed


def eventually(condition: Callable[[], bool]) -> bool:
    """True once a condition holds; False if it does not within ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _rest(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(1 << 16):
            found += part
    except ConnectionError:  # closed with bytes unread
        pass
    return found
